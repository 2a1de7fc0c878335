"""Durable bulk: DBOS distributes, limits and restarts the work; the ledger pays for each item once.

python examples/scale/dbos_bulk.py NAME COUNT

OXEN_LEDGER_URL names the PostgreSQL database of both. Start as many workers as you like, on as many
machines. One that is killed is started again with the same arguments.

With OXEN_API_KEY set it buys on Oxen, 20 dollars at most. To pay nothing, run
`python -m oxen_sandbox` and export the two variables that it prints.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

from dbos import DBOS, SetWorkflowID

from oxen_inference import Budget, EnqueueOutcomeUnknown, OxenClient

MODEL = "flux-2-dev"
LIMIT = "20.00"


@lru_cache(maxsize=1)
def client() -> OxenClient:
    return OxenClient()


@DBOS.step()
def submit(key: str, prompt: str) -> list[str]:
    """Pay, and return at once. A step that is run again finds its job by the key."""
    budget = Budget(LIMIT, name="bulk", ledger=client().media.ledger)
    job = client().media.submit(model=MODEL, prompt=prompt, key=key, budget=budget)
    return list(job.generation_ids)


@DBOS.step()
def collect(key: str, folder: str) -> list[str]:
    """Wait, and fetch the files. It pays nothing, so it may be repeated at will."""
    return [str(path) for path in client().media.resume(key, save_to=folder).paths]


@DBOS.workflow()
def make(key: str, prompt: str, folder: str) -> list[str]:
    submit(key, prompt)
    return collect(key, folder)


def main() -> int:
    name, count = sys.argv[1], int(sys.argv[2])
    config: Any = {
        "name": "oxen-bulk",
        "system_database_url": os.environ["OXEN_LEDGER_URL"],
        # The code that runs is the same for all workers, whenever each was started.
        "application_version": "1",
    }
    DBOS(config=config)
    DBOS.launch()  # goes on with what an earlier worker of this executor left
    DBOS.register_queue(
        "oxen",
        global_concurrency=16,
        limiter={"limit": 600, "period": 60},
        polling_interval_sec=0.1,
    )
    handles = []
    for number in range(count):
        key = f"{name}-{number}"
        with SetWorkflowID(key):  # enqueued twice, it is one workflow
            handles.append(DBOS.enqueue_workflow("oxen", make, key, f"ox number {number}", name))
    for handle in handles:
        try:
            print(*handle.get_result(), flush=True)
        except EnqueueOutcomeUnknown as error:  # noqa: PERF203 - each item has its own outcome
            # Killed in the moment between "perhaps sent" and the first byte: not sent again. If
            # nothing turns up at Oxen, client.media.forget(entry_id) ends it; its key then pays again.
            print(f"unknown: {error}", file=sys.stderr, flush=True)
    DBOS.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main())
