"""How a case is measured: contestants take turns, against a sandbox in a process of its own.

A suite is a module beside this one with `TITLE`, `ABOUT`, `CASES` and, if wanted, `SANDBOX`,
flags for ``python -m oxen_sandbox``, and `REPLIES`, what the sandbox's chat models answer.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any, Literal


@dataclass(frozen=True)
class Hub:
    """Where the contestants send their requests."""

    base_url: str
    api_key: str


Contestant = Callable[[Hub], Callable[[], Any]]
"""Sets itself up, once, and returns what is run once a round: a function, or an async one."""


@dataclass(frozen=True)
class Case:
    """One comparison; lower is better.

    `measure`: ``cpu``, seconds of this process's processors (what a client costs, whatever the
    server does); ``wall``, seconds until done; ``value``, the number a run returns, in `unit`.
    For ``cpu`` and ``wall`` all contestants must return equal values, which proves that they did
    the same work; runs are `repeat` times that work, and figures are per piece of it.
    """

    name: str
    contestants: Mapping[str, Contestant]
    baseline: str
    measure: Literal["cpu", "wall", "value"] = "cpu"
    unit: str = "ms"
    rounds: int = 15
    warmups: int = 3
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.baseline not in self.contestants:
            raise ValueError(f"{self.name}: the baseline {self.baseline!r} is no contestant")
        if self.measure != "value" and self.unit not in _PER_SECOND:
            raise ValueError(f"{self.name}: {self.unit!r} is no unit of time")


_PER_SECOND = {"s": 1, "ms": 1e3, "µs": 1e6}


def measure(case: Case, hub: Hub) -> dict[str, Any]:
    """Every contestant's median and quartiles, and how many times lower than the baseline."""
    with _event_loop() as loop:
        runs = {name: _runnable(setup(hub), loop) for name, setup in case.contestants.items()}
        results: dict[str, Any] = {}
        for name, run in runs.items():
            for _ in range(max(1, case.warmups)):
                results[name] = run()
        if case.measure != "value":
            _same_work(case, results)
        figures: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(case.rounds):
            # Whoever comes first after a pause is at a disadvantage: take turns at that too.
            order = list(runs)[number % len(runs) :] + list(runs)[: number % len(runs)]
            for name in order:
                figures[name].append(_figure(case, runs[name]))
    base = median(figures[case.baseline])
    return {
        "name": case.name,
        "measure": case.measure,
        "unit": case.unit,
        "baseline": case.baseline,
        "rounds": case.rounds,
        "contestants": {
            name: _summary(values, base, case.unit) for name, values in figures.items()
        },
    }


@contextmanager
def sandbox(flags: Sequence[str] = (), replies: Sequence[Mapping[str, Any]] = ()) -> Iterator[Hub]:
    """A sandbox in another process, so that it takes no time of ours."""
    command = [sys.executable, "-m", "oxen_sandbox", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            exports = dict(
                process.stdout.readline().strip().removeprefix("export ").split("=", 1)
                for _ in range(2)
            )
            hub = Hub(exports["OXEN_BASE_URL"], exports["OXEN_API_KEY"])
            if replies:
                control(hub, "replies", replies)
            yield hub
        finally:
            process.terminate()


def control(hub: Hub, what: str, body: Any) -> None:
    """Tell the sandbox how to behave: `what` is `faults` or `replies`."""
    origin = hub.base_url.removesuffix("/api/ai")
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(
        f"{origin}/_sandbox/{what}", json.dumps(body).encode(), headers
    )
    urllib.request.urlopen(request).close()


def load_suite(name: str) -> Any:
    """The suite's module. Raises AttributeError where it is not one."""
    module = importlib.import_module(f"benchmarks.{name}")
    for required in ("TITLE", "ABOUT", "CASES"):
        getattr(module, required)
    return module


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _runnable(run: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    if inspect.iscoroutinefunction(run):
        return lambda: loop.run_until_complete(run())
    return run


def _figure(case: Case, run: Callable[[], Any]) -> float:
    gc.collect()
    clock = time.process_time if case.measure == "cpu" else time.perf_counter
    start = clock()
    value = run()
    took = clock() - start
    if case.measure == "value":
        return float(value)
    return took / case.repeat * _PER_SECOND[case.unit]


def _same_work(case: Case, results: Mapping[str, Any]) -> None:
    expected = results[case.baseline]
    for name, result in results.items():
        if result != expected:
            raise ValueError(
                f"{case.name}: {name} returned {result!r:.200}, "
                f"{case.baseline} {expected!r:.200}: not the same work"
            )


def _summary(values: list[float], base: float, unit: str) -> dict[str, Any]:
    low, middle, high = quantiles(values, n=4) if len(values) > 1 else values * 3
    return {
        "median": middle,
        "quartiles": [low, high],
        "unit": unit,
        "times_lower": base / middle if middle else None,
    }
