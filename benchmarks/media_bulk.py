"""What it takes to make many images: processor time, memory and requests for each.

One run per contestant, in a process of its own, gives all figures.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import openai

from benchmarks.harness import Case, Contestant, Hub
from oxen_inference import AsyncOxenClient, Budget, Ledger, OxenClient

TITLE = "Making many images"
ABOUT = (
    "Images that take half a second each, at most 64 at once. Ours writes every request to a ledger on the "
    "disk before it is sent, and pays from a budget. The peer has neither: asyncio.gather over the "
    "OpenAI SDK with the habits of fal-client 1.0, which polls each job every tenth of a second "
    "and then asks for its result. Nothing is downloaded. Each run is in a process of its own, "
    "after a first image that is not counted."
)
SANDBOX = ["--image-seconds", "0.5"]
NUMBERS = [int(each) for each in os.environ.get("OXEN_BENCH_JOBS", "250,4000").split(",")]
MODEL = "flux-2-dev"
IN_FLIGHT = 64


@dataclass(frozen=True)
class Figures:
    """Of one contestant's run, for each job; `memory` is the peak, in MiB."""

    cpu: float
    wall: float
    memory: float
    requests: float


Run = Callable[[Hub, int, Callable[[], None]], Awaitable[int]]
"""Makes so many images and returns the number of requests; calls the function when warm."""


def prompts(number: int) -> Iterator[dict[str, Any]]:
    return ({"model": MODEL, "prompt": f"ox {n}"} for n in range(number))


class Counting(AsyncOxenClient):
    """A client that counts its requests."""

    sent = 0

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        self.sent += 1
        return await super().request(cast_to, options, **kwargs)


async def ours(hub: Hub, number: int, is_warm: Callable[[], None]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite3")
        budget = Budget(10_000, name="bench", ledger=ledger)
        async with Counting(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
            await client.media.generate(model=MODEL, prompt="warm up", budget=budget)
            is_warm()
            made = 0
            async with client.media.generate_as_completed(
                prompts(number), key_prefix="bench", budget=budget, max_in_flight=IN_FLIGHT
            ) as results:
                async for _, result in results:
                    made += not isinstance(result, Exception)
            _expect(made, number)
            return client.sent + number


async def ours_in_threads(hub: Hub, number: int, is_warm: Callable[[], None]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite3")
        budget = Budget(10_000, name="bench", ledger=ledger)
        with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
            client.media.generate(model=MODEL, prompt="warm up", budget=budget)
            is_warm()
            made = 0
            with client.media.generate_as_completed(
                prompts(number), key_prefix="bench", budget=budget, max_in_flight=IN_FLIGHT
            ) as results:
                for _, result in results:
                    made += not isinstance(result, Exception)
            _expect(made, number)
            return client.media._engine.poller.requests + number


async def as_fal_does(hub: Hub, number: int, is_warm: Callable[[], None]) -> int:
    sent = 0
    places = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(base_url=hub.base_url, api_key=hub.api_key) as client:

        async def ask(job: str) -> Any:
            nonlocal sent
            sent += 1
            return await client.get(f"/queue/{job}", cast_to=object)

        async def one(request: dict[str, Any]) -> int:
            nonlocal sent
            async with places:
                sent += 1
                answer: Any = await client.post("/queue", cast_to=object, body=request)
                job = answer["generations"][0]["generation_id"]
                while (await ask(job))["status"] in ("queued", "processing"):  # noqa: ASYNC110 - what is measured
                    await asyncio.sleep(0.1)
                return int((await ask(job))["status"] == "succeeded")

        await one({"model": MODEL, "prompt": "warm up"})
        is_warm()
        _expect(sum(await asyncio.gather(*map(one, prompts(number)))), number)
    return sent


def _expect(made: int, number: int) -> None:
    if made != number:
        raise ValueError(f"{made} of {number} were made")


_figures: dict[tuple[str, int], Figures] = {}


def run(hub: Hub, make: Run, number: int) -> Figures:
    """Make the images, once per contestant, number and hub."""
    key = (make.__name__, number)
    if key not in _figures:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            _figures[key] = process.submit(_in_process, hub, make, number).result()
    return _figures[key]


def _in_process(hub: Hub, make: Run, number: int) -> Figures:
    started = [0.0, 0.0]

    def is_warm() -> None:
        started[:] = time.process_time(), time.perf_counter()

    requests = asyncio.run(make(hub, number, is_warm))
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    return Figures(cpu / number * 1e3, wall / number * 1e3, _peak_memory(), requests / number)


def _peak_memory() -> float:
    """Return the most memory that this process had, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts in `ru_maxrss` what the parent had when it started this one
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def contestant(figure: str, make: Run, number: int) -> Contestant:
    def set_up(hub: Hub) -> Callable[[], float]:
        return lambda: float(getattr(run(hub, make, number), figure))

    return set_up


def case(name: str, figure: str, unit: str, number: int) -> Case:
    return Case(
        name=f"{number:,} images: {name}",
        contestants={
            "Oxen media": contestant(figure, ours, number),
            "Oxen media, sync": contestant(figure, ours_in_threads, number),
            "gather, as fal-client does": contestant(figure, as_fal_does, number),
        },
        baseline="gather, as fal-client does",
        measure="value",
        unit=unit,
        rounds=1,
        warmups=1,
    )


CASES = [
    case(name, figure, unit, number)
    for number in NUMBERS
    for name, figure, unit in (
        ("CPU of the client, for each", "cpu", "ms"),
        ("time until done, for each", "wall", "ms"),
        ("peak memory", "memory", "MiB"),
        ("requests for each", "requests", "requests"),
    )
]
