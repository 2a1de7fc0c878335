"""How many GETs of statuses many processes make together while they wait for their images."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

from oxen_inference import Ledger, OxenClient
from oxen_sandbox import Sandbox

SECONDS, JOBS = 40, 4
_POLLED = ("/api/ai/queue", "/api/ai/generations")


def polling_requests(url: str, processes: int) -> int:
    """Return how many GETs of statuses all processes make together while they wait."""
    Ledger(url).setup()
    context = multiprocessing.get_context("spawn")
    with Sandbox(image_seconds=SECONDS) as sandbox:
        os.environ["OXEN_API_KEY"] = sandbox.api_key
        ready = context.Barrier(processes + 1)
        workers = [
            context.Process(target=_wait, args=(sandbox.base_url, url, ready, n))
            for n in range(processes)
        ]
        for worker in workers:
            worker.start()
        ready.wait(300)
        before = _count(sandbox)
        time.sleep(SECONDS - 10)
        made = _count(sandbox) - before
        for worker in workers:
            worker.terminate()
            worker.join()
    return round(made * SECONDS / (SECONDS - 10))


def _wait(base_url: str, url: str, ready: Any, number: int) -> None:
    try:
        client = OxenClient(base_url=base_url, ledger=Ledger(url))
        prompts = [f"{number}-{n}" for n in range(JOBS)]
        handles = [client.media.submit(model="flux-2-dev", prompt=prompt) for prompt in prompts]
    except BaseException:
        ready.abort()  # the others would wait for this process
        raise
    ready.wait(300)
    for handle in handles:
        handle.wait()


def _count(sandbox: Sandbox) -> int:
    return sum(one.method == "GET" and one.path.startswith(_POLLED) for one in sandbox.requests)
