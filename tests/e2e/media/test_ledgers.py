"""One ledger, wherever the process goes and whatever it runs out of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from oxen_inference.errors import LedgerError
from tests.e2e.media.calls import quick_client
from tests.support.bad_hub import BadHub
from tests.support.open_files import no_more_files


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on open files")
def test_a_key_is_paid_once_though_the_ledger_could_not_be_opened(hub: BadHub) -> None:
    with quick_client(hub, Ledger()) as client:
        first = client.media.generate(model="bad-image", prompt="ox", key="k")
    with quick_client(hub, Ledger()) as client:
        with no_more_files(), pytest.raises(LedgerError, match="cannot be opened"):
            _ = client.media.ledger.durable
        again = client.media.generate(model="bad-image", prompt="ox", key="k")
    assert again.generation_ids == first.generation_ids
    assert hub.posts["ox"] == 1


def test_a_key_is_paid_once_in_another_folder(
    hub: BadHub, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("j.sqlite3")
    with quick_client(hub, ledger) as client:
        client.media.generate(model="bad-image", prompt="ox", key="k")
    ledger.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with quick_client(hub, ledger) as client:
        client.media.generate(model="bad-image", prompt="ox", key="k")
    assert hub.posts["ox"] == 1
