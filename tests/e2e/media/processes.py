"""Engines in processes of their own, to be killed or raced."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from oxen_inference import Ledger
from oxen_inference.media.pace import Pace
from tests.support.bad_hub import BadHub
from tests.support.machines import lose_network, pretend_to_be_another_machine

PATIENT = Pace(
    image=(0.03, 0.1), gap=0.01, lookup=2.0, lookup_interval=0.05, settle=(), follow=0.02
)


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["oxen_inference.media.facade", "oxen_inference.catalog.facade", __name__]
    )
    return context


def generate(
    base_url: str,
    location: str,
    key: str,
    answers: Any = None,
    going: Any = None,
    *,
    host: int | None = None,
    save_to: str | None = None,
    cut: Any = None,
    has_database: bool = True,
) -> None:
    """Make one image under a key, on this machine or another; put what came of it into `answers`."""
    if host is not None:
        pretend_to_be_another_machine(host, stale=2.0)
    if cut is not None:
        lose_network(cut, base_url, has_database=has_database)
    from oxen_inference import Budget, OxenClient
    from oxen_inference.errors import OxenError

    ledger = Ledger(location)
    client = OxenClient(base_url=base_url, api_key="k", ledger=ledger, timeout=5)
    client.media.pace = PATIENT
    budget = Budget(1000, name="children", ledger=ledger)
    if going is not None:
        going.set()
    try:
        result = client.media.generate(
            model="bad-image", prompt=f"prompt of {key}", key=key, budget=budget,
            save_to=save_to or Path(location).parent / "out", timeout=40,
        )  # fmt: skip
    except OxenError as error:
        answer: tuple[str, Any] = (type(error).__name__, str(error))
    else:
        answer = ("ok", (result.generation_ids, result.paths))
    if answers is not None:
        answers.put((key, answer))


def kill_and_run_again(
    folder: Path, times: int, seed: int, *, location: str | None = None, hosts: int = 0
) -> Counter[str]:
    """Kill a process at a random moment of its generation and run it again, `times` times; with
    several `hosts`, on another one, and several at once.
    """
    where = location or str(folder / "ledger.sqlite3")
    with BadHub(think=0.03, lag=0.1, seconds=0.1) as hub:

        def one(number: int) -> str:
            return _kill_one(hub, where, folder, number, random.Random(seed + number), hosts)

        with ThreadPoolExecutor(4 if hosts else 1) as pool:
            return Counter(pool.map(one, range(times)))


def _kill_one(
    hub: BadHub, location: str, folder: Path, number: int, dice: random.Random, hosts: int
) -> str:
    context = _context()
    key = f"image {number}"
    going, answers = context.Event(), context.Queue()
    first_host, second_host = (number % hosts, (number + 1) % hosts) if hosts else (None, None)
    options = {"save_to": str(folder / "out")}
    first = context.Process(
        target=generate, args=(hub.base_url, location, key, None, going),
        kwargs={**options, "host": first_host},
    )  # fmt: skip
    first.start()
    assert going.wait(60)
    time.sleep(dice.uniform(0, 0.35))
    first.kill()
    first.join()
    second = context.Process(
        target=generate, args=(hub.base_url, location, key, answers),
        kwargs={**options, "host": second_host},
    )  # fmt: skip
    second.start()
    found, (kind, what) = answers.get(timeout=90)
    second.join()
    assert found == key
    bought = hub.submissions_of(f"prompt of {key}")
    assert len(bought) <= 1, f"{key} was bought twice"
    if kind == "ok":
        assert [one.ids for one in bought] == [list(what[0])]
        assert all(Path(path).is_file() for path in what[1])
    else:
        # Killed between writing "it may be on its way" and the first byte.
        assert kind == "EnqueueOutcomeUnknown", what
        assert not bought
    return str(kind)


def cut_and_run_again(folder: Path, times: int, *, location: str, hosts: int) -> Counter[str]:
    """Cut a machine off when the hub has its request and has not answered, and run the same key on
    another one, at once or afterwards, `times` times; count what the first ones met.
    """
    context = _context()
    cuts = {f"prompt of image {number}": context.Event() for number in range(times)}

    def cut_off(prompt: str, _attempt: int) -> str:
        cuts[prompt].set()
        return "reset_after"

    with BadHub(think=0.03, lag=0.1, seconds=0.1) as hub:
        hub.plan = cut_off

        def one(number: int) -> str:
            key = f"image {number}"
            first, second = context.Queue(), context.Queue()
            options = {"save_to": str(folder / "out")}
            cut = cuts[f"prompt of {key}"]
            off = context.Process(
                target=generate, args=(hub.base_url, location, key, first),
                kwargs={**options, "host": number % hosts, "cut": cut, "has_database": bool(number % 3)},
            )  # fmt: skip
            off.start()
            assert cut.wait(60)
            met = first.get(timeout=90)[1][0] if number % 2 else None
            other = context.Process(
                target=generate, args=(hub.base_url, location, key, second),
                kwargs={**options, "host": (number + 1) % hosts},
            )  # fmt: skip
            other.start()
            kind, what = second.get(timeout=90)[1]
            met = met or first.get(timeout=90)[1][0]
            off.join()
            other.join()
            assert kind == "ok", what
            (bought,) = hub.submissions_of(f"prompt of {key}")
            assert bought.ids == list(what[0])
            assert all(Path(path).is_file() for path in what[1])
            return str(met)

        with ThreadPoolExecutor(4) as pool:
            met = Counter(pool.map(one, range(times)))
        ledger = Ledger(location)
        known = Counter(each for entry in ledger.entries() for each in entry.generation_ids)
        assert known == Counter(each for bought in hub.accepted for each in bought.ids)
        ledger.close()
        return met


def race(folder: Path, processes: int, each: int) -> tuple[BadHub, list[Any]]:
    """Let processes ask for the same `each` keys at once."""
    context = _context()
    answers = context.Queue()
    ledger = str(folder / "ledger.sqlite3")
    with BadHub(think=0.05, seconds=0.1) as hub:
        twins = [
            context.Process(target=generate, args=(hub.base_url, ledger, f"key {n}", answers))
            for n in range(each)
            for _ in range(processes)
        ]
        for twin in twins:
            twin.start()
        outcomes = [answers.get(timeout=60) for _ in twins]
        for twin in twins:
            twin.join()
    return hub, outcomes
