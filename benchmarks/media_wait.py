"""What it takes to wait for many generations at once.

One run per contestant gives all figures: it enqueues the jobs, waits for all, and counts.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Case, Contestant, Hub
from oxen_inference import AsyncOxenClient
from oxen_inference.media.pace import Pace

TITLE = "Waiting for generations"
ABOUT = (
    "1,000 images are generated at once, 21 seconds each, and waited for: by one watcher for all "
    "(with and without the hub's event stream), by the usual loop that polls each job every two "
    "seconds, and in the manner of fal-client 1.0, which polls each job every tenth of a second. "
    "All run over the same local hub and the same HTTP client."
)
SECONDS = 21
SANDBOX = ["--image-seconds", str(SECONDS)]
JOBS = int(os.environ.get("OXEN_BENCH_JOBS", "1000").partition(",")[0])
MODEL = "flux-1-dev"


@dataclass(frozen=True)
class Figures:
    """Of one contestant's run."""

    requests_per_job: float
    busiest_second: float
    """Requests while all were waited for, in the second with the most of them."""
    delay: float
    """Seconds from a job's end until its waiter knew, the median; the end is reckoned from the answer
    to its enqueueing."""
    memory: float
    """KiB that the waiting took, per job."""
    finished: int


class Counting(AsyncOxenClient):
    """A client that notes when it sent what; enqueueing is not counted."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sent: list[float] = []

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        if options.method.lower() == "get":
            self.sent.append(time.monotonic())
        return await super().request(cast_to, options, **kwargs)


Wait = Callable[[Counting, Any], Awaitable[None]]


async def watched(_: Counting, handle: Any) -> None:
    await handle.wait()


async def polled(client: Counting, handle: Any) -> None:
    while not (await client.queue.get(handle.generation_ids[0])).is_terminal:  # noqa: ASYNC110 - what is measured
        await asyncio.sleep(2)


async def as_fal_does(client: Counting, handle: Any) -> None:
    # fal_client.AsyncRequestHandle: iter_events(interval=0.1), then the result.
    while not (await client.queue.get(handle.generation_ids[0])).is_terminal:  # noqa: ASYNC110 - what is measured
        await asyncio.sleep(0.1)
    await client.queue.get(handle.generation_ids[0])


_figures: dict[tuple[Wait, bool], Figures] = {}


def run(hub: Hub, wait: Wait, events: bool = True) -> Figures:
    """Enqueue, wait, and count; once per contestant, whatever the case."""
    if (wait, events) not in _figures:
        # In a process of its own, whose memory nobody has used before.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            _figures[wait, events] = process.submit(_in_process, hub, wait, events).result()
    return _figures[wait, events]


def _in_process(hub: Hub, wait: Wait, events: bool) -> Figures:
    return asyncio.run(_run(hub, wait, events))


async def _run(hub: Hub, wait: Wait, events: bool) -> Figures:
    async with Counting(base_url=hub.base_url, api_key=hub.api_key, ledger=None) as client:
        client.media.pace = Pace(settle=())
        background: Any = client.media._engine.ensure_polling.__self__  # type: ignore[attr-defined]
        background._has_no_events = not events
        model = await client.catalog.get(MODEL)
        await (await client.media.submit(model=model, prompt="warm up")).wait()
        before, client.sent[:] = _resident(), []
        delays: list[float] = []

        async def one(number: int) -> None:
            async with places:
                handle = await client.media.submit(model=model, prompt=f"ox {number}")
                ends = time.monotonic() + SECONDS
            await wait(client, handle)
            delays.append(max(time.monotonic() - ends, 0.0))

        places = asyncio.Semaphore(32)
        waiters = [asyncio.create_task(one(number)) for number in range(JOBS)]
        await asyncio.sleep(SECONDS * 0.9)
        memory = (_resident() - before) / JOBS
        await asyncio.gather(*waiters)
    seconds: dict[int, int] = {}
    for moment in client.sent:
        seconds[int(moment)] = seconds.get(int(moment), 0) + 1
    return Figures(
        requests_per_job=len(client.sent) / JOBS,
        busiest_second=max(seconds.values()),
        delay=median(delays),
        memory=memory,
        finished=len(delays),
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def contestant(figure: str, wait: Wait, events: bool = True) -> Contestant:
    def set_up(hub: Hub) -> Callable[[], float]:
        return lambda: float(getattr(run(hub, wait, events), figure))

    return set_up


def case(name: str, figure: str, unit: str) -> Case:
    return Case(
        name=name,
        contestants={
            "Oxen media": contestant(figure, watched),
            "Oxen media, no event stream": contestant(figure, watched, events=False),
            "poll each every 2 s": contestant(figure, polled),
            "as fal-client does": contestant(figure, as_fal_does),
        },
        baseline="poll each every 2 s",
        measure="value",
        unit=unit,
        rounds=1,
        warmups=1,
    )


CASES = [
    case("GET requests per finished job", "requests_per_job", "requests"),
    case("GET requests in the busiest second", "busiest_second", "requests"),
    case("delay from a job's end to its waiter, median", "delay", "s"),
    case("memory per waiting job", "memory", "KiB"),
]
