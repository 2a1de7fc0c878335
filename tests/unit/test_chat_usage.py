"""Token counts from every shape they are known to come in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.chat.usage import (
    StatedCost,
    Usage,
    merge_usage,
    read_stated_cost,
    read_usage,
)

CASES: list[tuple[str, dict[str, Any], Usage | None]] = [
    ("OpenAI's", {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}, Usage(11, 4, 15)),
    ("no total", {"prompt_tokens": 11, "completion_tokens": 4}, Usage(11, 4, 15)),
    ("total only", {"total_tokens": 15}, Usage(15, 0, 15, has_input=False, has_output=False)),
    ("prompt only", {"prompt_tokens": 11, "completion_tokens": None}, Usage(11, 0, 11, has_output=False)),
    ("an unreadable completion", {"prompt_tokens": 11, "completion_tokens": "n/a"}, Usage(11, 0, 11, has_output=False)),
    ("completion only", {"completion_tokens": 4}, Usage(0, 4, 4, has_input=False)),
    ("a completion by the total", {"prompt_tokens": 11, "total_tokens": 15}, Usage(11, 4, 15)),
    ("a prompt by the total", {"completion_tokens": 4, "total_tokens": 15}, Usage(11, 4, 15)),
    ("a total reported too early", {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 11}, Usage(11, 4, 15)),
    ("thinking in the total only", {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 30}, Usage(11, 4, 30)),
    ("text", {"prompt_tokens": "11", "completion_tokens": "4.0"}, Usage(11, 4, 15)),
    ("nothing readable", {"prompt_tokens": None, "completion_tokens": "many"}, None),
    ("negative", {"prompt_tokens": -1, "completion_tokens": 4}, Usage(0, 4, 4, has_input=False)),
    ("nested cache", {"prompt_tokens": 100, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 80}}, Usage(100, 4, 104, cache_read=80)),
    ("nested reasoning", {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}, Usage(1, 9, 10, reasoning=7)),
    ("null details", {"prompt_tokens": 1, "completion_tokens": 9, "prompt_tokens_details": None}, Usage(1, 9, 10)),
    (
        "flat cache, counted among the prompt",
        {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30},
        Usage(100, 4, 104, cache_read=60, cache_creation=30),
    ),
    (
        "flat cache, beside the prompt by the total",
        {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 104, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30},
        Usage(100, 4, 104, cache_read=60, cache_creation=30),
    ),
    (
        "flat cache, larger than the prompt",
        {"prompt_tokens": 10, "completion_tokens": 4, "cache_read_input_tokens": 60},
        Usage(70, 4, 74, cache_read=60),
    ),
    (
        "flat cache, larger than the prompt, with a total that leaves it out",
        {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "cache_read_input_tokens": 60},
        Usage(70, 4, 74, cache_read=60),
    ),
    (
        "Anthropic's own",
        {"input_tokens": 90, "output_tokens": 4, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0},
        Usage(100, 4, 104, cache_read=10, cache_creation=0),
    ),
    (
        "the Responses API's",
        {"input_tokens": 90, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 10}, "output_tokens_details": {"reasoning_tokens": 3}},
        Usage(90, 9, 99, cache_read=10, reasoning=3),
    ),
    (
        "xAI's reasoning, beside the completion",
        {"prompt_tokens": 37, "completion_tokens": 9, "total_tokens": 279, "completion_tokens_details": {"reasoning_tokens": 233}},
        Usage(37, 242, 279, reasoning=233),
    ),
    ("audio", {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"audio_tokens": 5}}, Usage(9, 4, 13, input_audio=5)),
    (
        "images",
        {"prompt_tokens": 9, "completion_tokens": 1300, "prompt_tokens_details": {"image_tokens": 5}, "completion_tokens_details": {"image_tokens": 1290}},
        Usage(9, 1300, 1309, input_image=5, output_image=1290),
    ),
    (
        "writes to a cache by how long they stay",
        {"prompt_tokens": 3, "completion_tokens": 4, "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 24}},
        Usage(1027, 4, 1031, cache_creation=1024),
    ),
    (
        "the same, in all and apart",
        {"input_tokens": 2000, "output_tokens": 4, "cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_5m_input_tokens": 1000}},
        Usage(3000, 4, 3004, cache_creation=1000),
    ),
    (
        "the same, among the details",
        {"prompt_tokens": 2000, "completion_tokens": 4, "total_tokens": 2004, "prompt_tokens_details": {"cache_creation": {"ephemeral_1h_input_tokens": 1000}}},
        Usage(2000, 4, 2004, cache_creation=1000),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_shape(raw: dict[str, Any], expected: Usage | None) -> None:
    assert read_usage(raw) == expected


@pytest.mark.parametrize("raw", [None, {}])
def test_no_usage_is_none(raw: Any) -> None:
    assert read_usage(raw) is None


EVENT_BY_EVENT = {"prompt_tokens": 0, "completion_tokens": 50, "total_tokens": 50}


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ({"prompt_tokens": 1100, "completion_tokens": 1, "total_tokens": 1101}, EVENT_BY_EVENT, Usage(1100, 50, 1150)),
        ({"prompt_tokens": 1100}, {**EVENT_BY_EVENT, "prompt_tokens": "0"}, Usage(1100, 50, 1150)),
        (
            {"prompt_tokens": 1100, "prompt_tokens_details": {"cached_tokens": 1000}},
            {**EVENT_BY_EVENT, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
            Usage(1100, 50, 1150, cache_read=1000, input_audio=0),
        ),
        (
            {"prompt_tokens": 1100, "cache_read_input_tokens": 1000},
            {**EVENT_BY_EVENT, "prompt_tokens_details": {}, "cache_read_input_tokens": 0},
            Usage(1100, 50, 1150, cache_read=1000),
        ),
        ({"prompt_tokens": 1100, "completion_tokens": 1}, {"prompt_tokens": 900, "completion_tokens": 50}, Usage(900, 50, 950)),
        ({}, EVENT_BY_EVENT, Usage(0, 50, 50)),
    ],
)  # fmt: skip
def test_zeros_of_a_later_chunk_replace_nothing(
    earlier: dict[str, Any], later: dict[str, Any], expected: Usage
) -> None:
    assert read_usage(merge_usage(earlier, later)) == expected


@pytest.mark.parametrize("paid", [0.004, "0.004", {"total_cost": 0.004}])
def test_a_later_cost_of_zero_replaces_nothing(paid: Any) -> None:
    nothing = {"total_cost": 0} if isinstance(paid, dict) else 0
    for first, second in ((paid, nothing), (nothing, paid), (0.001, paid)):
        usage = merge_usage({**EVENT_BY_EVENT, "cost": first}, {**EVENT_BY_EVENT, "cost": second})
        assert read_stated_cost(usage) == StatedCost(Decimal("0.004"))


def test_parts_never_exceed_the_whole() -> None:
    for _, _, usage in CASES:
        if usage is not None:
            assert (usage.cache_read or 0) + (usage.cache_creation or 0) <= usage.input_tokens
            assert (usage.reasoning or 0) <= usage.output_tokens
            assert usage.total_tokens >= usage.input_tokens + usage.output_tokens
            known = replace(usage, has_input=True, has_output=True)
            assert read_usage(usage.as_openai()) == known
