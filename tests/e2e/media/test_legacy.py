"""Paid media over the older API's base URL, and over a hub that speaks nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import NotFoundError
from oxen_inference.paths import LEGACY
from oxen_inference.queue import older_get_call
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import THOROUGH


@pytest.fixture
def hub() -> Any:
    with Sandbox(image_seconds=0.1) as hub:
        yield hub


def client_of(hub: Sandbox, ledger: Ledger | None = None) -> OxenClient:
    client = OxenClient(base_url=f"{hub.origin}/api", api_key=hub.api_key, ledger=ledger)
    client.media.pace = THOROUGH
    return client


def test_media_works_on_the_older_base_url(hub: Sandbox, tmp_path: Any) -> None:
    with client_of(hub) as client:
        assert client.media.generate(model="flux-2-dev", prompt="x", save_to=tmp_path).paths


def test_a_key_is_the_same_on_both_base_urls(hub: Sandbox, ledger: Ledger) -> None:
    with client_of(hub, ledger) as older:
        first = older.media.generate(model="flux-2-dev", prompt="x", key="k")
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as newer:
        newer.media.pace = THOROUGH
        again = newer.media.generate(model="flux-2-dev", prompt="x", key="k")
    assert first.generation_ids == again.generation_ids
    assert len(hub.jobs) == 1


def test_a_hub_with_only_the_older_routes(hub: Sandbox) -> None:
    for path in ("/api/ai/queue/*", "/api/ai/generations*"):
        hub.inject(Fault("respond", status=404, path=path, times=None))
    with client_of(hub) as client:
        result = client.media.generate(
            model="flux-2-dev", prompt="x", target_namespace=hub.hub.account.namespace
        )
        (one,) = result.generation_ids
        assert result.status == "succeeded"
        with pytest.raises(NotFoundError):
            client.queue.get(one)
        namespace = hub.hub.account.namespace
        row = client.queue.get(one, namespace=namespace, model="flux-2-dev")
        assert row.status == "succeeded"
        client.queue.cancel(one, namespace=namespace)


def test_an_older_answer_is_read_in_either_shape() -> None:
    call = older_get_call(LEGACY, "a", namespace="me", model="x/y")
    assert call is not None
    assert call.path == "/media/generations/status/me/x%2Fy"
    row = {"generation_id": "a", "status": "succeeded"}
    for payload in (row, {"generations": [{"generation_id": "b"}, row]}, {"generation": row}):
        assert call.read(payload).is_terminal
    with pytest.raises(NotFoundError):
        call.read({"generations": []})
