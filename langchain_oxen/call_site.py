"""Where in a LangGraph graph a tool is called, so that a node that runs again pays nothing again.

LangGraph runs a node again from the top when it resumes after an interrupt or a crash, and when it
retries. It has the same task id then. https://docs.langchain.com/oss/python/langgraph/interrupts
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig

from oxen_inference.locks import Lock
from oxen_inference.tools.calls import CallNumbers

# Names of LangGraph's (`langgraph._internal._constants`). Where one is missing, calls have no key.
_NAMESPACE, _TASK, _SCRATCHPAD = "checkpoint_ns", "__pregel_task_id", "__pregel_scratchpad"

_MAX_RUNS = 4096  # runs of nodes at the same time; one that was dropped counts from 0 again

_lock = Lock()
_runs: OrderedDict[int, tuple[object, CallNumbers]] = OrderedDict()


def read_task(config: RunnableConfig) -> str | None:
    """Return the id of the node's task; None outside a graph."""
    configurable = _configurable(config)
    if not configurable.get(_TASK):
        return None
    return str(configurable.get(_NAMESPACE) or configurable[_TASK])


@contextmanager
def call_number(config: RunnableConfig, request: str) -> Iterator[int]:
    """Number a call among those with the same `request` that this run of the node makes.

    A call that ended in an error takes its number with it only if a generation failed: whatever
    bought nothing, or goes on, is meant by the next same call.
    """
    numbers = _numbers_of(_configurable(config).get(_SCRATCHPAD))
    if numbers is None:
        yield 0
        return
    number = numbers.take(request)
    try:
        yield number
    except Exception as error:
        if type(error).__name__ != "GenerationFailed":
            numbers.give_back(request, number)
        raise


def _configurable(config: RunnableConfig) -> Mapping[str, Any]:
    return config.get("configurable") or {}


def _numbers_of(scratchpad: Any) -> CallNumbers | None:
    """Return the numbers of one run of a node; None outside a graph."""
    # What LangGraph counts interrupts with is made anew for each run of a node, retries included.
    counter = getattr(scratchpad, "interrupt_counter", None)
    if counter is None:
        return None
    with _lock:
        # The counter is kept as well, so that no other one gets its id.
        _, numbers = _runs.setdefault(id(counter), (counter, CallNumbers()))
        _runs.move_to_end(id(counter))
        while len(_runs) > _MAX_RUNS:
            _runs.popitem(last=False)
        return numbers
