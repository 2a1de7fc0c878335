"""Keeping an agent's run while a person decides, and going on with it later, perhaps elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer

from llama_index_oxen.workflow_context import open_questions

if TYPE_CHECKING:
    from llama_index.core.memory import BaseMemory

_MEMORY = "memory"  # the key of core's agents, whose value core does not serialize
_VERSION = 1


async def save_run(handler: Any) -> dict[str, Any]:
    """Return a run as plain data: its context, its memory, and the questions that are open.

    `handler` is what ``agent.run`` returned. The data can be written as JSON, and `resume_run` goes
    on with it. Under ``questions`` are the fields of each `OxenSpendingRequest` without an answer.
    """
    context = handler.ctx
    memory = await _get_memory(context)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*unserializable key: memory")  # it is kept here
        data = context.to_dict(serializer=JsonSerializer())
    return {
        "version": _VERSION,
        "context": _without_answered_waiters(data),
        "messages": (
            None if memory is None else [m.model_dump(mode="json") for m in memory.get_all()]
        ),
        "questions": [q.model_dump(mode="json") for q in await open_questions(context)],
    }


async def resume_run(agent: Any, saved: Mapping[str, Any], memory: BaseMemory | None = None) -> Any:
    """Go on with a run that `save_run` returned; return its handler.

    `agent` is built as the one that began the run. Open questions come on the handler's stream
    again. What the run paid for is not paid for again. `memory`: one of your own that has the
    conversation; by default a `ChatMemoryBuffer` with the saved messages. Raises
    `ConfigurationError` for data of another version.
    """
    if saved.get("version") != _VERSION:
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            f"This run was saved in format {saved.get('version')!r}, and format {_VERSION} is known "
            "here.",
            hint="Pass what save_run returned, of the same version of oxen-integrations.",
        )
    context: Any = Context.from_dict(agent, saved["context"], serializer=JsonSerializer())
    if memory is None and saved["messages"] is not None:
        messages = [ChatMessage.model_validate(message) for message in saved["messages"]]
        memory = ChatMemoryBuffer.from_defaults(chat_history=messages)
    handler = agent.run(ctx=context)
    if memory is not None:
        # Before anything of the run goes on: it does at the first pause only.
        await handler.ctx.store.set(_MEMORY, memory)
    return handler


async def _get_memory(context: Any) -> BaseMemory | None:
    try:
        memory: BaseMemory | None = await context.store.get(_MEMORY, default=None)
    except (AttributeError, ValueError):
        return None  # a workflow with a state of its own
    return memory


def _without_answered_waiters(data: dict[str, Any]) -> dict[str, Any]:
    """Return a saved context whose answered questions do not start their step.

    Core starts a step for every question that it cannot compare with answers any more, also where
    there is an answer and the step is under way: it would run twice.
    """
    for worker in (data.get("workers") or {}).values():
        for waiter in worker.get("collected_waiters") or ():
            if waiter.get("resolved_event"):
                waiter["has_requirements"] = False
    return data
