"""A key stands for what was paid for, whatever became of the catalog, the price and the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oxen_inference import Ledger
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.errors import BadRequestError, GenerationTimeout, KeyConflictError, OxenError
from oxen_inference.result import MediaItem
from tests.e2e.media.calls import MediaCalls, quick_client
from tests.support import bad_hub
from tests.support.bad_hub import BadHub
from tests.support.databases import sql

Call = Callable[..., Any]


@pytest.fixture
def generate(media: MediaCalls) -> Call:
    """`media.generate` of a new client of either kind, which has read no catalog yet."""

    def fresh(**options: Any) -> Any:
        clear_cache()
        asked = {"model": "bad-image", "prompt": "ox", "key": "k", **options}
        return media("generate", **asked)

    return fresh


def changed(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setattr(bad_hub, "MODEL", {**bad_hub.MODEL, **fields})


def schema_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"prompt": {"type": "string"}, **properties}}


def test_another_price_does_not_keep_what_was_paid_for(
    hub: BadHub, generate: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = generate(max_cost="0.05")
    changed(monkeypatch, pricing={"method": "per_image", "cost_per_image": 0.50})
    assert generate(max_cost="0.05").generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


@pytest.mark.parametrize("spelled", [512, "512"])
def test_nor_does_another_schema(
    hub: BadHub, generate: Call, monkeypatch: pytest.MonkeyPatch, spelled: Any
) -> None:
    changed(monkeypatch, request_schema=schema_of(width={"enum": [512, 640]}))
    first = generate(width=spelled)
    changed(monkeypatch, request_schema=schema_of(width={"enum": ["512", "640"]}))
    assert generate(width=spelled).generation_ids == first.generation_ids
    changed(monkeypatch, request_schema=schema_of())
    assert generate(width=spelled).generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


def test_nor_does_a_catalog_that_is_down(hub: BadHub, generate: Call) -> None:
    first = generate()
    hub.fail_gets = lambda path: "/models" in path
    assert generate().generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


def test_an_earlier_result_is_the_same_input_on_another_day(
    hub: BadHub, generate: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, request_schema=schema_of(image_url={"type": "string"}))
    before = generate(prompt="a calf", key="before")
    first = generate(image_url=before)
    hub.url_prefix = f"http://localhost:{hub.origin.rpartition(':')[2]}"
    hub.fail_gets = lambda path: "/models" in path
    item = MediaItem(generation_id=before.generation_ids[0])
    assert generate(image_url=item).generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


def test_a_job_under_way_is_waited_for(hub: BadHub, generate: Call) -> None:
    hub.seconds = 0.6
    with pytest.raises(GenerationTimeout):
        generate(timeout=0.1)
    hub.fail_gets = lambda path: "/models" in path
    assert generate(timeout=5).generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1


def test_an_entry_of_an_earlier_version_is_found_by_what_was_sent(
    hub: BadHub, generate: Call, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, request_schema=schema_of(width={"enum": [512, 640]}))
    first = generate(width="512", num_generations=2)
    sql(ledger, "UPDATE oxen_entries SET caller_fingerprint = NULL")
    hub.fail_gets = lambda path: "/models" in path
    assert generate(width="512", num_generations=2).generation_ids == first.generation_ids
    with pytest.raises(OxenError):
        generate(width="640", num_generations=2)
    assert hub.posts["ox"] == 1


def test_another_request_is_still_a_conflict(hub: BadHub, generate: Call) -> None:
    generate(width=512)
    for other in ({"width": 640}, {"seed": 1}, {"num_generations": 2}, {"prompt": "a cow"}):
        with pytest.raises(KeyConflictError):
            generate(**{"width": 512, **other})
    assert sum(hub.posts.values()) == 1


def test_a_refused_request_is_sent_by_todays_schema(
    hub: BadHub, generate: Call, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, request_schema=schema_of(width={"enum": [512, 640]}))
    hub.plan = lambda *_: "status_400"
    with pytest.raises(BadRequestError):
        generate(width="512")
    changed(monkeypatch, request_schema=schema_of(width={"enum": ["512", "640"]}))
    hub.plan = lambda *_: "reset_after"
    generate(width="512")
    assert hub.accepted[0].body["width"] == "512"
    (entry,) = ledger.entries()
    assert entry.request["width"] == "512"
    assert entry.generation_ids == tuple(hub.accepted[0].ids)


def test_keys_that_a_function_returns_are_one_account(hub: BadHub, ledger: Ledger) -> None:
    keys = iter([f"key-{number}" for number in range(100)])
    ids = set()
    for _ in range(2):
        with quick_client(hub, ledger, api_key=lambda: next(keys)) as client:
            for _ in range(2):
                made = client.media.generate(model="bad-image", prompt="ox", key="k")
                ids.add(made.generation_ids)
            assert [entry.key for entry in client.media.jobs()] == ["k"]
    assert len(ids) == len(hub.accepted) == 1
