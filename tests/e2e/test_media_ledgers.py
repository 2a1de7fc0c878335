"""One ledger, wherever the process goes and whatever it runs out of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Journal, OxenClient
from oxen_inference.errors import JournalError
from tests.e2e.media_faults import QUICK, settings
from tests.support.bad_hub import BadHub
from tests.support.open_files import no_more_files


@pytest.fixture
def hub() -> Iterator[BadHub]:
    with BadHub() as hub:
        yield hub


def client_of(hub: BadHub, journal: Journal) -> OxenClient:
    client = OxenClient(**settings(hub, journal))
    client.media.pace = QUICK
    return client


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on open files")
def test_a_key_is_paid_once_though_the_ledger_could_not_be_opened(hub: BadHub) -> None:
    with client_of(hub, Journal()) as client:
        first = client.media.generate(model="bad-image", prompt="ox", key="k")
    with client_of(hub, Journal()) as client:
        with no_more_files(), pytest.raises(JournalError, match="cannot be opened"):
            _ = client.media.journal.durable
        again = client.media.generate(model="bad-image", prompt="ox", key="k")
    assert again.generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


def test_a_key_is_paid_once_in_another_folder(
    hub: BadHub, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal("j.sqlite3")
    with client_of(hub, journal) as client:
        client.media.generate(model="bad-image", prompt="ox", key="k")
    journal.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with client_of(hub, journal) as client:
        client.media.generate(model="bad-image", prompt="ox", key="k")
    assert hub.posts["ox"] == 1
