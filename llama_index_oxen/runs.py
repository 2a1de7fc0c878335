"""Keeping an agent's run while a person decides, and going on with it later, perhaps elsewhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer

from llama_index_oxen.workflow_context import open_questions

if TYPE_CHECKING:
    from llama_index.core.memory import BaseMemory

_MEMORY = "memory"  # the key of core's agents, whose value core does not serialize
_HANDOFF = "handoff"  # the tool that core gives an agent which may hand over to another
_VERSION = 1


async def save_run(handler: Any) -> dict[str, Any]:
    """Return a run as plain data: its context, its memory, and the questions that are open.

    `handler` is what ``agent.run`` returned. The data can be written as JSON, and `resume_run` goes
    on with it. Under ``questions`` are the fields of each `OxenSpendingRequest` without an answer.
    Raises `ConfigurationError` for a run that has ended.
    """
    context = handler.ctx
    memory = await _get_memory(context)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*unserializable key: memory")  # it is kept here
        data = context.to_dict(serializer=JsonSerializer())
    _check_goes_on(data)
    return {
        "version": _VERSION,
        "context": _without_answered_waiters(data),
        "messages": (
            None if memory is None else [m.model_dump(mode="json") for m in await memory.aget_all()]
        ),
        "questions": [q.model_dump(mode="json") for q in await open_questions(context)],
    }


async def resume_run(agent: Any, saved: Mapping[str, Any], memory: BaseMemory | None = None) -> Any:
    """Go on with a run that `save_run` returned; return its handler.

    `agent` is built as the one that began the run. Open questions come on the handler's stream
    again, also where its tools would not ask any more. What the run paid for is not paid for again.
    `memory`: one of your own, which gets the saved messages if it is empty; by default a new
    `ChatMemoryBuffer`. Raises `ConfigurationError` for data of another version or of a run that has
    ended, and for an agent that lacks a tool which is being called.
    """
    from oxen_inference.errors import ConfigurationError

    if saved.get("version") != _VERSION:
        raise ConfigurationError(
            f"This run was saved in format {saved.get('version')!r}, and format {_VERSION} is known "
            "here.",
            hint="Pass what save_run returned, of the same version of oxen-integrations.",
        )
    _check_goes_on(saved["context"])
    _check_tools(agent, saved["context"])
    context: Any = Context.from_dict(agent, saved["context"], serializer=JsonSerializer())
    if saved["messages"] is not None:
        messages = [ChatMessage.model_validate(message) for message in saved["messages"]]
        if memory is None:
            memory = ChatMemoryBuffer.from_defaults(chat_history=messages)
        elif not await memory.aget_all():
            await memory.aput_messages(messages)
    handler = agent.run(ctx=context)
    if memory is not None:
        # Before anything of the run goes on: it does at the first pause only.
        await handler.ctx.store.set(_MEMORY, memory)
    return handler


def _check_goes_on(context: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for the context of a run that has ended."""
    if context.get("is_running"):
        return
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        "The run has ended: there is nothing to resume.",
        hint="Its answer is `await handler`. To go on with the conversation, give each run the same "
        "memory: agent.run(..., memory=memory).",
    )


def _check_tools(agent: Any, context: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` where the agent lacks a tool whose call the run is in."""
    from llama_index.core.agent.workflow import AgentWorkflow, BaseWorkflowAgent
    from llama_index.core.tools import BaseTool

    members = list(agent.agents.values()) if isinstance(agent, AgentWorkflow) else [agent]
    if not all(isinstance(each, BaseWorkflowAgent) for each in members):
        return  # a workflow that calls tools in steps of its own
    if any(each.tool_retriever for each in members):
        return  # which tools it finds is not known yet
    tools = (tool for each in members for tool in each.tools or ())
    known = {tool.metadata.name for tool in tools if isinstance(tool, BaseTool)}
    missing = sorted(set(_tools_called(context)) - known - {_HANDOFF})
    if not missing:
        return
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"The saved run is calling {', '.join(missing)}, and this agent has no such tool. "
        "Nothing was sent.",
        hint="Build the agent as the one that began the run.",
    )


def _tools_called(context: Mapping[str, Any]) -> Iterator[str]:
    for worker in (context.get("workers") or {}).values():
        for name in ("queue", "in_progress", "collected_waiters"):
            for item in worker.get(name) or ():
                event = json.loads(item["event"] if isinstance(item, Mapping) else item)
                if str(event.get("qualified_name", "")).endswith(".ToolCall"):
                    yield event["value"]["tool_name"]


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
