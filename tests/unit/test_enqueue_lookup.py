"""Which job a lost answer was about: one explanation, or none is taken."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.generation import Generation
from oxen_inference.ledger.entries import Entry
from oxen_inference.media.fingerprints import storable
from oxen_inference.media.lost_jobs import match, merge_rows, without_rivals

NOW = time.time()


def entry(entry_id: str = "mine", count: int = 1, **request: Any) -> Entry:
    body = {"model": "m", "prompt": "an ox", "num_generations": count, **request}
    return Entry(
        entry_id=entry_id, hub="h", account="a", key=None, fingerprint="f", kind="queue",
        model="m", media_type="image", request=storable(body), defaults={"seed": None, "width": 1024},
        count=count, state="unknown", attempt=0, owner="lease", created_at=NOW, posted_at=NOW,
        decided_at=None, error=None, notes=(), items=(), reserved=Decimal(0),
    )  # fmt: skip


def row(generation_id: str = "g", **changes: Any) -> Generation:
    fields = {"model_name": "m", "prompt": "an ox", "enqueued_at": float(int(NOW)), "params": {}}
    return Generation(generation_id=generation_id, status="queued", **{**fields, **changes})


def found(
    mine: Entry,
    rows: list[Generation],
    owners: dict[str, str] | None = None,
    rivals: tuple[Entry, ...] = (),
) -> tuple[str, ...]:
    matched = without_rivals(match(mine, rows, owners or {}), rivals)
    return tuple(one.generation_id for one in matched.adopted)


def test_the_one_explanation_is_taken() -> None:
    assert found(entry(), [row(), row("x", prompt="a cow"), row("y", model_name="n")]) == ("g",)
    assert found(entry(count=2), [row("a"), row("b")]) == ("a", "b")


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("a"), row("b")],
        [row(prompt="an ox.")],
        [row(model_name="m2")],
        [row(model_name=None)],
        [row(enqueued_at=None)],
        [row(enqueued_at=NOW - 120)],
        [row(enqueued_at=NOW + 3600)],
        [row(params={"seed": 7})],
        [row(params={"width": 640})],
        [row(params={"num_generations": 2})],
    ],
)
def test_anything_less_is_not(rows: list[Generation]) -> None:
    assert found(entry(), rows) == ()


def test_a_part_of_the_jobs_is_not_taken() -> None:
    assert found(entry(count=3), [row("a"), row("b")]) == ()


def test_parameters_are_compared_as_hubs_keep_them() -> None:
    mine = entry(duration=5, urls=["a"], shape={"w": 1.0})
    kept = {"duration": "5", "urls": ["a"], "shape": {"w": 1}, "user_id": "u", "seed": None,
            "width": 1024, "target_namespace": "me"}  # fmt: skip
    assert found(mine, [row(params=kept)]) == ("g",)
    assert found(mine, [row(params={**kept, "duration": 6})]) == ()
    assert found(mine, [row(params={name: kept[name] for name in kept if name != "urls"})]) == ()


@pytest.mark.parametrize("many", ["2", 2, 2.0, None, 1, "1"])
def test_how_many_is_said_in_more_ways_than_one(many: Any) -> None:
    rows = [row(one, params={"num_generations": many}) for one in "ab"]
    assert found(entry(count=2), rows) == ("a", "b")
    assert found(entry(count=1), [row(params={"num_generations": 2})]) == ()


def test_how_many_tells_lost_requests_apart_where_it_is_said() -> None:
    rows = [
        row(one, params={"num_generations": many})
        for one, many in zip("abc", (2, 2, 1), strict=True)
    ]
    assert found(entry(count=2), rows) == ("a", "b")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [({}, ("g",)), ({"namespace": "me"}, ("g",)), ({"target_namespace": None}, ("g",)),
     ({"target_namespace": "me"}, ("g",)), ({"target_namespace": "you"}, ())],
)  # fmt: skip
def test_a_namespace_is_not_always_repeated(kept: Any, expected: tuple[str, ...]) -> None:
    assert found(entry(target_namespace="me"), [row(params=kept)]) == expected


@pytest.mark.parametrize(
    ("kept", "expected"), [(True, ("g",)), (False, ()), (1, ()), ("True", ()), (None, ())]
)
def test_a_switch_is_no_number_and_no_word(kept: Any, expected: tuple[str, ...]) -> None:
    assert found(entry(loop=True), [row(params={"loop": kept})]) == expected


def test_long_data_urls_are_compared_by_digest() -> None:
    image = "data:image/png;base64," + "A" * 5000
    assert found(entry(input_image=image), [row(params={"input_image": image})]) == ("g",)
    assert found(entry(input_image=image), [row(params={"input_image": image + "B"})]) == ()
    assert len(entry(input_image=image).request["input_image"]) < 100


def test_what_another_request_owns_is_not_taken() -> None:
    assert found(entry(), [row()], owners={"g": "other"}) == ()
    assert found(entry(), [row()], owners={"g": "mine"}) == ("g",)
    assert found(entry(), [row("a"), row("b")], owners={"a": "other"}) == ("b",)


def test_what_another_lost_request_may_own_is_not_taken() -> None:
    assert found(entry(), [row()], rivals=(entry("rival"),)) == ()
    different = entry("rival", seed=7)
    assert found(entry(seed=8), [row(params={"seed": 8})], rivals=(different,)) == ("g",)


def test_the_candidates_are_named() -> None:
    doubt = match(entry(), [row("a"), row("b"), row("c", prompt="no")], {})
    assert [one.generation_id for one in doubt.candidates] == ["a", "b"]
    assert doubt.why_not == "2 generations match it and 1 were requested"


def test_lists_complete_each_other() -> None:
    rich = row(params={"seed": 7, "width": 640})
    lean = row(prompt=None, params={"seed": None}, cost=Decimal(1))
    for rows in ([rich, lean], [lean, rich]):
        (merged,) = merge_rows(rows).values()
        assert (merged.prompt, merged.cost) == ("an ox", Decimal(1))
        assert merged.params == {"seed": 7, "width": 640}
        assert found(entry(seed=7, width=640), [merged]) == ("g",)
