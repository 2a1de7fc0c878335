"""The calls whose quotes and argument schemas are recorded in `golden_catalog.json.gz`.

Every media model of the published contract is given each pricing method with prices made up here,
and is called with a grid of its parameters. The grid is made from the schemas alone, not by the
code under test. `python -m tests.contract.golden_cases` records the figures anew.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import PUBLISHED

GOLDEN = Path(__file__).with_name("golden_catalog.json.gz")

_GRID = {
    "low": {"1K": "0.01", "2K": "0.02", "4K": "0.03"},
    "medium": {"1K": "0.04", "2K": "0.05", "4K": "0.06"},
    "high": {"1K": "0.07", "2K": "0.08", "4K": "0.09"},
}
_BY_RESOLUTION = {
    "480p": "0.05", "540p": "0.06", "720p": "0.1", "1080p": "0.2", "1440p": "0.3", "2160p": "0.4",
}  # fmt: skip
_VIDEO = {"method": "per_video_output_second"}
_AUDIO = {"method": "per_audio_output_second"}

PRICINGS: Mapping[str, Mapping[str, Any] | None] = {
    "image_flat": {"method": "per_image", "cost_per_image": "0.04"},
    "image_grid": {"method": "per_image", "cost_per_image_grid": _GRID},
    "image_grid_and_flat": {
        "method": "per_image", "cost_per_image": "0.02",
        "cost_per_image_grid": {"standard": {"default": "0.02"}, "high": {"default": "0.05"}},
    },
    "image_grid_of_sizes": {
        "method": "per_image",
        "cost_per_image_grid": {
            "default": {"0.5 MP": "0.01", "1 MP": "0.02", "2 MP": "0.03", "1K": "0.02", "2K": "0.04"}
        },
    },
    "video_flat": {**_VIDEO, "cost_per_second": "0.1"},
    "video_older_names": {"video_cost_per_second": "0.1", "video_cost_per_second_high_res": "0.3"},
    "video_resolutions": {**_VIDEO, "cost_per_second_by_resolution": _BY_RESOLUTION},
    "video_some_resolutions_and_flat": {
        **_VIDEO, "cost_per_second": "0.1",
        "cost_per_second_by_resolution": {"720p": "0.1", "1080p": "0.2"},
    },
    "video_high_res": {**_VIDEO, "cost_per_second": "0.1", "cost_per_second_high_res": "0.3"},
    "video_with_audio": {**_VIDEO, "cost_per_second": "0.1", "cost_per_second_with_audio": "0.15"},
    "video_resolutions_with_audio": {
        **_VIDEO, "cost_per_second": "0.1", "cost_per_second_by_resolution": _BY_RESOLUTION,
        "cost_per_second_with_audio": "0.15",
    },
    "video_high_res_with_audio": {
        **_VIDEO, "cost_per_second": "0.1", "cost_per_second_high_res": "0.3",
        "cost_per_second_with_audio": "0.15",
    },
    "audio_flat": {**_AUDIO, "cost_per_second": "0.003"},
    "token": {"method": "token", "input_cost_per_token": "1e-6", "output_cost_per_token": "2e-6"},
    "time": {"method": "time", "cost_per_second": "0.001"},
    "provider_credit": {"method": "per_provider_credit", "cost_per_credit": "0.08"},
    "none": None,
}  # fmt: skip
BY_DEFAULTS_ONLY = frozenset({"token", "time", "provider_credit", "none"})
"""Pricings whose quote no parameter of a media model changes."""

_COMBINED = (
    "duration", "seconds", "num_frames", "frames_per_second", "fps", "resolution", "size",
    "image_size", "output_quality", "video_quality", "generate_audio", "num_images", "quality",
)  # fmt: skip
_MOST_COMBINATIONS = 40
_URL = "https://example.com/ox.png"
_BESIDE: tuple[Mapping[str, Any], ...] = (
    {"num_images": 3},
    {"n": "2"},
    {"duration": 7},
    {"duration": "auto"},
    {"seconds": "8"},
    {"num_frames": 240, "fps": 24},
    {"resolution": "4K"},
    {"resolution": "600p"},
    {"quality": "high"},
    {"size": "1024x1024"},
    {"width": 1920, "height": 1080},
    {"generate_audio": True},
    {"input_video": "https://example.com/ox.mp4"},
    {"prompts": ["an ox", "a calf", "a herd"]},
    {"multi_prompt": [{"prompt": "an ox", "duration": 3}, {"prompt": "a calf", "duration": "9s"}]},
    {"multi_prompt": [{"prompt": "an ox"}, {"prompt": "a calf"}]},
    {"num_generations": 4},
    {"seed": 7},
    {"variants": 3},
    {"mysteries": 4},
    {"extend_seconds": 10},
)
"""Parameters given whether a model documents them or not: `quote` does not validate."""


def media_rows() -> list[dict[str, Any]]:
    """Return the entries of the media models, documented ones first; empty without the contract."""
    facts = PUBLISHED / "catalog-facts.json"
    if not facts.is_file():
        return []
    rows = [
        {**row, "endpoint": row["page_endpoint"]}
        for row in json.loads(facts.read_text(encoding="utf-8"))
        if row["capabilities"]["output"] != ["text"]
    ]
    for path in sorted((PUBLISHED / "live").glob("live_model_*.json")):
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        rows.append({**model, "id": f"live:{model['id']}"})
    slots = PUBLISHED / "live" / "wire_seedance_face_slots.json"
    schema = json.loads(slots.read_text(encoding="utf-8"))["schema"]
    rows.append({"id": "live:seedance", "endpoint": "/videos/generate", "request_schema": schema})
    return rows


def pricings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the price lists to try on a model: those made up here, and its own."""
    own = {"own": row["pricing"]} if row.get("pricing") else {}
    return {**PRICINGS, **own}


def calls_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of each call of a model, without repetitions; the first has none."""
    fields: Mapping[str, Any] = row["request_schema"]["properties"]
    calls: list[dict[str, Any]] = [{}]
    calls += [{name: value} for name, spec in fields.items() for value in _values(name, spec)]
    combined = {name: list(_values(name, fields[name])) for name in _COMBINED if name in fields}
    if len(combined) > 1:
        combinations = list(itertools.product(*combined.values()))
        step = -(-len(combinations) // _MOST_COMBINATIONS)
        calls += [dict(zip(combined, values, strict=True)) for values in combinations[::step]]
    calls += [dict(one) for one in _BESIDE]
    distinct = {json.dumps(call, sort_keys=True): call for call in calls}
    return list(distinct.values())


def _values(name: str, spec: Mapping[str, Any]) -> Iterator[Any]:
    kinds = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    yield from spec.get("enum", ())
    if "default" in spec:
        yield spec["default"]
    yield None
    low, high = spec.get("minimum"), spec.get("maximum")
    yield from (bound for bound in (low, high) if bound is not None)
    if "enum" in spec:
        return
    if "boolean" in kinds:
        yield from (False, True)
    if {"integer", "number"} & {*kinds}:
        yield from (1, 5, 48) if low is None or high is None else [low + (high - low) // 2]
    if "string" in kinds:
        yield _URL if spec.get("format") == "uri" else "an ox"
    if "array" in kinds:
        item: Any = _URL if spec["items"]["type"] == "string" else {"prompt": "an ox"}
        yield from ([], [item], [item] * 3)


def structure(schema: Any) -> Any:
    """Return a JSON Schema without its prose."""
    if isinstance(schema, list):
        return [structure(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    prose = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
    return {name: structure(part) for name, part in schema.items() if name not in prose}


def record() -> dict[str, Any]:
    """Return the figures of the code as it is.

    `quotes`: by model and pricing, a number for each call of `calls`, an index into `outcomes`,
    which are [low, high, reason].
    """
    from oxen_inference.catalog.pricing import quote
    from oxen_inference.catalog.reading import read_model
    from oxen_inference.catalog.tool_args import arguments_model

    outcomes: dict[tuple[str | None, str | None, str | None], int] = {}
    calls, quotes, arguments = {}, {}, {}
    for row in media_rows():
        calls[row["id"]] = calls_of(row)
        quotes[row["id"]] = {}
        for name, pricing in pricings_of(row).items():
            model = read_model({**row, "pricing": pricing})
            made = calls_of(row)[: 1 if name in BY_DEFAULTS_ONLY else None]
            prices = [quote(model, call) for call in made]
            quotes[row["id"]][name] = [
                outcomes.setdefault((_text(p.low), _text(p.high), p.reason), len(outcomes))
                for p in prices
            ]
        arguments[row["id"]] = structure(arguments_model(read_model(row)).model_json_schema())
    return {
        "outcomes": list(outcomes),
        "calls": calls,
        "quotes": quotes,
        "arguments": arguments,
    }


def _text(amount: Any) -> str | None:
    return None if amount is None else f"{amount:f}"


def load() -> dict[str, Any]:
    """Return the recorded figures."""
    figures: dict[str, Any] = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    return figures


if __name__ == "__main__":
    text = json.dumps(record(), separators=(",", ":"), ensure_ascii=False)
    GOLDEN.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size:,} bytes")
