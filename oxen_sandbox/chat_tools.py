"""Which tools the model calls next, and with what: a plan made from the user's words alone.

The plan is made anew for every request and compared with the calls already in the history, so
the model needs no memory and cannot loop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_clues import Clues
from oxen_sandbox.chat_conversation import Call, Conversation
from oxen_sandbox.chat_failures import corrected, is_error
from oxen_sandbox.chat_fit import Tool, best, clauses_of, fit
from oxen_sandbox.chat_handoffs import agent_for, agent_told, given_reason
from oxen_sandbox.chat_synth import synthesise

_ATTEMPTS = 2
_MOST = 8


@dataclass
class Step:
    """One call the request wants; `waits` where it needs what came before."""

    clause: str
    tool: Tool
    arguments: dict[str, Any]
    waits: bool = False

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool.name


def tools_of(body: dict[str, Any]) -> list[Tool]:
    """Read the tools of a checked request."""
    return [
        Tool(f["name"], f.get("description") or "", f.get("parameters") or {"type": "object"})
        for f in (tool["function"] for tool in body.get("tools") or ())
    ]


def next_calls(
    talk: Conversation,
    tools: Sequence[Tool],
    clues: Clues,
    *,
    choice: Any = "auto",
    parallel: bool = True,
) -> list[Step]:
    """Return the calls to make now: none where nothing fits or all is done."""
    if choice == "none" or not tools:
        return []
    if isinstance(choice, dict):
        wanted = choice["function"]["name"]
        tools = [tool for tool in tools if tool.name == wanted]
    retry = _retry(talk, tools, clues)
    steps = [retry] if retry else _remaining(plan(talk, tools, clues), talk)
    if not steps and not talk.calls and (only := _extraction(tools, clues)):
        steps = [only]
    if not steps and choice not in ("auto", None):
        steps = [_forced(talk, tools, clues)]
    batch = steps[:1]
    for step in steps[1:]:
        if step.waits or not parallel:
            break
        batch.append(step)
    return batch


def plan(talk: Conversation, tools: Sequence[Tool], clues: Clues) -> list[Step]:
    """Plan the whole request: its clauses in order, each with the tool that fits it best."""
    own = [tool for tool in tools if not tool.hands_off]
    handoff = next((tool for tool in tools if tool.hands_off), None)
    reason = given_reason(talk)
    clauses = clauses_of(talk.request, own)
    # An agent that was handed the request starts at the clause the handoff was about.
    start = next((i for i, (clause, _) in enumerate(clauses) if reason and clause in reason), 0)
    steps: list[Step] = []
    said = ""
    for index, (clause, waits) in enumerate(clauses):
        here = replace(clues, clause=clause, said=said)
        said = here.subject or said
        if index < start:
            continue
        tool, agent = best(own, clause, here), agent_for(handoff, clause, talk)
        if handoff and agent and (tool is None or fit(agent, clause) > fit(tool, clause)):
            arguments = {"to_agent": agent.name, "reason": f"the request says: {clause}"}
            return [*steps, Step(clause, handoff, arguments, waits=bool(steps))]
        if tool:
            found = _calls(tool, here)
            found[0].waits = bool(steps) and (waits or words.refers_back(clause))
            steps += found
    if handoff and (name := agent_told(handoff, talk)):
        arguments = {"to_agent": name, "reason": f"{name} is next"}
        steps.append(Step(talk.request, handoff, arguments, waits=bool(steps)))
    return steps[:_MOST]


def _calls(tool: Tool, clues: Clues) -> list[Step]:
    """Make the call a clause wants, or one per item where it lists places or quoted strings."""
    arguments, _ = synthesise(tool.parameters, clues)
    for name, value in arguments.items():
        if not isinstance(value, str):
            continue
        for listed in (words.places(clues.clause), words.quoted(clues.clause)):
            if len(listed) > 1 and value == listed[0] and not _several(arguments, listed):
                return [Step(clues.clause, tool, {**arguments, name: item}) for item in listed]
    return [Step(clues.clause, tool, arguments)]


def _several(arguments: dict[str, Any], listed: Sequence[str]) -> bool:
    """Tell whether more than one parameter took one of the listed values ("from Paris to London")."""
    return sum(value in listed for value in arguments.values() if isinstance(value, str)) > 1


def _remaining(steps: list[Step], talk: Conversation) -> list[Step]:
    """Drop the steps the history has calls for, matching by tool (and agent) in order."""
    done = [_key(call) for call in talk.calls if not is_error(call.result or "")]
    failed = {_key(call) for call in talk.calls} - set(done)
    left = []
    for step in steps:
        key = _key(step)
        if key in done:
            done.remove(key)
        elif key in failed:
            break  # what failed for good also stops what comes after it
        else:
            left.append(step)
    return left


def _key(call: Call | Step) -> tuple[str, Any]:
    return call.name, call.arguments.get("to_agent")


def _retry(talk: Conversation, tools: Sequence[Tool], clues: Clues) -> Step | None:
    """Call a failed tool again where its error tells, or the words allow, better arguments."""
    latest = {call.name: call for call in talk.calls}.values()
    failed = next((call for call in latest if is_error(call.result or "")), None)
    if failed is None:
        return None
    tool = next((tool for tool in tools if tool.name == failed.name and not tool.hands_off), None)
    tries = sum(call.name == failed.name and is_error(call.result or "") for call in talk.calls)
    if tool is None or tries >= _ATTEMPTS:
        return None
    planned = [step for step in plan(talk, [tool], clues) if step.tool is tool]
    fresh = planned[0].arguments if len(planned) == 1 else synthesise(tool.parameters, clues)[0]
    better = corrected({**fresh, **failed.arguments}, failed.result or "", tool)
    return None if better == failed.arguments else Step(talk.request, tool, better)


def _extraction(tools: Sequence[Tool], clues: Clues) -> Step | None:
    """Use the only tool where the words give every value it requires (data to be extracted)."""
    if len(tools) != 1 or tools[0].hands_off or not tools[0].parameters.get("required"):
        return None
    described = words.stems(f"{tools[0].name} {tools[0].description}")
    arguments, given = synthesise(tools[0].parameters, clues)
    fits = (
        given == 1.0
        and len(arguments) > 1
        and (described & words.stems(clues.request) or not re.match(r"[a-z]+_", tools[0].name))
    )
    return Step(clues.request, tools[0], arguments) if fits else None


def _forced(talk: Conversation, tools: Sequence[Tool], clues: Clues) -> Step:
    """Choose a tool although none has to be called: unused ones first, then the best fit."""
    used = {call.name for call in talk.calls}
    own = [tool for tool in tools if not tool.hands_off] or list(tools)
    ranked = sorted(own, key=lambda tool: (tool.name in used, -fit(tool, talk.request)))
    arguments, _ = synthesise(ranked[0].parameters, clues)
    return Step(talk.request, ranked[0], arguments)
