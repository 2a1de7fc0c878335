"""Which run of a workflow a tool is called in, and by which call: what makes it the same again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from oxen_inference.tools.calls import call_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llama_index.core.workflow import Context

_KEPT = "oxen_conversation"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call of a tool stands.

    `conversation` is kept in the context's store, so it lives on in a context that is saved and
    resumed, which gets another run id.
    """

    conversation: str
    run: str
    tool_id: str | None

    def key(self, tool_name: str, model_id: str, arguments: Mapping[str, Any]) -> str:
        """Return the exactly-once key of a call.

        A step that calls a tool itself has no tool-call id: the same call is the same generation
        within its run, since a step is run again from the top after `ctx.wait_for_event`.
        """
        if self.tool_id:
            return call_key(self.conversation, self.tool_id, model_id, arguments)
        return call_key(f"{self.conversation}:{self.run}", tool_name, model_id, arguments)


async def place_of(ctx: Context) -> Place:
    """Return where the step that runs now stands."""
    run = _run_id()
    known = await ctx.store.get(_KEPT, default=None)
    if known is None:
        known = run or uuid4().hex
        try:
            await ctx.store.set(_KEPT, known)
        except (AttributeError, KeyError, TypeError, ValueError):
            # A typed state has no room for it. Nothing is lost while the run goes on.
            known = run or f"context-{id(ctx)}"
    return Place(f"llama-index:{known}", run or "", _tool_id())


def _run_id() -> str | None:
    from llama_index_instrumentation.dispatcher import active_instrument_tags

    run_id = active_instrument_tags.get().get("llamaindex.run_id")
    return None if run_id is None else str(run_id)


def _tool_id() -> str | None:
    # Core does not tell a tool the id of its call; the step's own event has it.
    try:
        from workflows.runtime.types.results import StepWorkerStateContextVar
    except ImportError:  # pragma: no cover - it is where every version has it so far
        return None
    step = StepWorkerStateContextVar.get(None)
    tool_id = getattr(getattr(step, "event", None), "tool_id", None)
    return str(tool_id) if tool_id else None
