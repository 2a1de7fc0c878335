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
from oxen_sandbox.chat_synth import synthesise

_THEN = re.compile(
    r"(?:\s*[,;.]\s*|\s+)(?:and\s+)?(?:then|after that|afterwards?|next|finally)\b,?\s+|\n+|(?<=[.!?;])\s+",
    re.IGNORECASE,
)
_AND = re.compile(r",?\s+and\s+(?:also\s+)?|;\s*", re.IGNORECASE)
_TO = re.compile(
    r"\b(?:text|image|audio|reference|video)s?[ _-](?:to|2)[ _-](?=image|video|audio|music)",
    re.IGNORECASE,
)
_MEDIA = ("image", "video", "music")
_ERROR = re.compile(
    r"^\W*(?:\w*error\b|failed\b|failure\b|traceback|exception|invalid|cannot\b)|\"error\"\s*:|'error'\s*:|\bvalidation error",
    re.IGNORECASE,
)
_ENOUGH = 2.0
_ATTEMPTS = 2
_MOST = 8
_LONG = 4000


@dataclass(frozen=True)
class Tool:
    """A tool offered with the request."""

    name: str
    description: str
    parameters: dict[str, Any]
    known_as: str = ""
    """Words that count like its name."""

    @property
    def hands_off(self) -> bool:
        """Whether it gives control to another agent (LlamaIndex's `handoff`)."""
        return "to_agent" in (self.parameters.get("properties") or {})


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
        Tool(f["name"], f.get("description") or "", f.get("parameters") or {})
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


def is_error(result: str) -> bool:
    """Tell whether a tool's result reports a failure."""
    return bool(_ERROR.search(result[:300]))


def plan(talk: Conversation, tools: Sequence[Tool], clues: Clues) -> list[Step]:
    """Plan the whole request: its clauses in order, each with the tool that fits it best."""
    own = [tool for tool in tools if not tool.hands_off]
    handoff = next((tool for tool in tools if tool.hands_off), None)
    reason = _given_reason(talk)
    clauses = _clauses(talk.request, own)
    # An agent that was handed the request starts at the clause the handoff was about.
    start = next((i for i, (clause, _) in enumerate(clauses) if reason and clause in reason), 0)
    steps: list[Step] = []
    said = ""
    for index, (clause, waits) in enumerate(clauses):
        here = replace(clues, clause=clause, said=said)
        said = here.subject or said
        if index < start:
            continue
        tool, agent = best(own, clause), _agent(handoff, clause, talk)
        if handoff and agent and (tool is None or fit(agent, clause) > fit(tool, clause)):
            arguments = {"to_agent": agent.name, "reason": f"the request says: {clause}"}
            return [*steps, Step(clause, handoff, arguments, waits=bool(steps))]
        if tool:
            found = _calls(tool, here)
            found[0].waits = bool(steps) and (waits or words.refers_back(clause))
            steps += found
    if handoff and (name := _told(handoff, talk)):
        arguments = {"to_agent": name, "reason": f"{name} is next"}
        steps.append(Step(talk.request, handoff, arguments, waits=bool(steps)))
    return steps[:_MOST]


def best(tools: Sequence[Tool], clause: str) -> Tool | None:
    """Return the tool that fits a clause best, or None where none fits."""
    scored = [(fit(tool, clause), -index, tool) for index, tool in enumerate(tools)]
    top = max(scored, default=(0.0, 0, None), key=lambda item: item[:2])
    return top[2] if top[0] >= _ENOUGH else None


def fit(tool: Tool, clause: str) -> float:
    """Score how well a tool fits a clause: its name first, then its description and enums."""
    if (
        re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", clause, re.IGNORECASE)
        and len(tool.name) > 2
    ):
        return 100.0
    asked = words.stems(clause)
    named = words.stems(
        _TO.sub("", f"{tool.name} {tool.known_as}".replace("_", " ").replace("-", " "))
    )
    described = words.stems(_TO.sub("", tool.description[:600]))
    made = _medium(tool)
    wanted = next(
        (
            stem
            for word in re.findall(r"\w+", clause.lower())
            if (stem := words.stem(word)) in _MEDIA
        ),
        None,
    )
    if made and wanted:
        return 10.0 + len(asked & described) / 10 if made == wanted else -10.0
    told = len(asked & described)
    score = 3.0 * len(asked & named) + min(told, 3) * (1.0 if told > 1 else 0.6)
    for part in (tool.parameters.get("properties") or {}).values():
        if isinstance(part, dict) and "enum" in part:
            score += any(str(option).lower() in clause.lower().split() for option in part["enum"])
    return score + 0.5 * bool(score and named <= asked)


def _medium(tool: Tool) -> str | None:
    """Return the medium a tool makes, by its name, else by the first words about it."""
    for text in (_TO.sub("", tool.name.replace("_", " ")), _TO.sub("", tool.description[:160])):
        for word in re.findall(r"[A-Za-z]+", text):
            if (stem := words.stem(word.lower())) in _MEDIA:
                return stem
    return None


def _clauses(request: str, tools: Sequence[Tool]) -> list[tuple[str, bool]]:
    """Cut a request into clauses, each with whether it comes after the one before."""
    request = words.gist(request, _LONG)
    clauses: list[tuple[str, bool]] = []
    position, then = 0, False
    for cut in [*_THEN.finditer(request), None]:
        text = request[position : cut.start() if cut else len(request)].strip()
        if re.search(r"\w", text):
            halves = _halves(text, tools)
            clauses += [(half, then and not index) for index, half in enumerate(halves)]
        if cut:
            position, then = cut.end(), bool(re.search(r"\w", cut.group()))
    # "Write a report. Search the web first."
    return sorted(clauses, key=lambda clause: not re.search(r"\bfirst\b\W*$", clause[0]))


def _halves(clause: str, tools: Sequence[Tool]) -> list[str]:
    """Split at "and" where each side asks for something by itself."""
    parts = _AND.split(clause)
    fitting = [best(tools, part) for part in parts]
    if len(parts) < 2 or not all(fitting):
        return [clause]
    apart = len({tool.name for tool in fitting if tool}) > 1
    alike = all(map(words.arithmetic, parts)) or all(map(words.orders, parts))
    return parts if apart or alike else [clause]


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
    if not talk.calls or not is_error(talk.calls[-1].result or ""):
        return None
    failed = talk.calls[-1]
    tool = next((tool for tool in tools if tool.name == failed.name and not tool.hands_off), None)
    tries = sum(call.name == failed.name and is_error(call.result or "") for call in talk.calls)
    if tool is None or tries >= _ATTEMPTS:
        return None
    planned = [step for step in plan(talk, [tool], clues) if step.tool is tool]
    fresh = planned[0].arguments if len(planned) == 1 else synthesise(tool.parameters, clues)[0]
    corrected = _corrected({**fresh, **failed.arguments}, failed.result or "", tool)
    return None if corrected == failed.arguments else Step(talk.request, tool, corrected)


def _corrected(arguments: dict[str, Any], error: str, tool: Tool) -> dict[str, Any]:
    """Apply what an error says of a parameter: its bounds, its options, or that it is unknown."""
    known = tool.parameters.get("properties") or {}
    corrected = {name: value for name, value in arguments.items() if not known or name in known}
    options = re.search(
        r"(?:one of|must be|allowed|options?|choose from|either|expected)[^\[\('\"\n]{0,30}[\[\(]?\s*((?:'[^'\n]+'|\"[^\"\n]+\")(?:(?:,| or|,? and)\s*(?:'[^'\n]+'|\"[^\"\n]+\"))*)",
        error,
        re.IGNORECASE,
    )
    most = re.search(
        r"(?:at most|maximum(?: is| of)?|less than or equal to|<=|no more than|up to|and)\s*(-?\d+(?:\.\d+)?)",
        error,
        re.IGNORECASE,
    )
    least = re.search(
        r"(?:at least|minimum(?: is| of)?|greater than or equal to|>=|between)\s*(-?\d+(?:\.\d+)?)",
        error,
        re.IGNORECASE,
    )
    for name, value in corrected.items():
        if not re.search(rf"\b{re.escape(name)}\b", error):
            continue
        if options and isinstance(value, str):
            allowed = re.findall(r"['\"]([^'\"\n]+)['\"]", options[1])
            corrected[name] = value if value in allowed else allowed[0]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            high = type(value)(float(most[1])) if most else value
            low = type(value)(float(least[1])) if least else value
            corrected[name] = max(min(value, high), low) if low <= high else min(value, high)
    return corrected


def _extraction(tools: Sequence[Tool], clues: Clues) -> Step | None:
    """Use the only tool where the words give every value it requires (data to be extracted)."""
    if len(tools) != 1 or tools[0].hands_off or not tools[0].parameters.get("required"):
        return None
    described = words.stems(f"{tools[0].name} {tools[0].description}")
    arguments, given = synthesise(tools[0].parameters, replace(clues))
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
    arguments, _ = synthesise(ranked[0].parameters, replace(clues))
    return Step(talk.request, ranked[0], arguments)


def _agents(handoff: Tool) -> dict[str, str]:
    """Read the agents a handoff tool lists in its description as a dictionary."""
    listed = re.findall(
        r"['\"]([\w .-]+)['\"]\s*:\s*(?:'([^'\n]*)'|\"([^\"\n]*)\")", handoff.description
    )
    return {name: first or second for name, first, second in listed}


def _handoffs(talk: Conversation) -> list[Call]:
    return [call for call in talk.calls if call.hands_off]


def _given_reason(talk: Conversation) -> str:
    taken = _handoffs(talk)
    return str(taken[-1].arguments.get("reason", "")) if taken else ""


def _agent(handoff: Tool | None, clause: str, talk: Conversation) -> Tool | None:
    """Return the agent whose description fits a clause, unless it had the request already."""
    if handoff is None:
        return None
    had = {call.arguments["to_agent"] for call in _handoffs(talk)}
    # An agent is known by what it does: its description counts like a tool's name.
    named = ((name, f"{name} {text}") for name, text in _agents(handoff).items())
    agents = [Tool(name, text, {}, known_as=text) for name, text in named if name not in had]
    return best(agents, clause)


def _told(handoff: Tool, talk: Conversation) -> str | None:
    """Return the agent the system prompt says to hand off to, unless it had the request already."""
    had = {call.arguments["to_agent"] for call in _handoffs(talk)}
    told = re.findall(
        r"hand(?:ing)?[ -]?(?:it |control )?(?:off|over)?(?: control)? to (?:the )?['\"`]?([\w-]+)",
        talk.system,
        re.IGNORECASE,
    )
    return next((name for name in told if name in _agents(handoff) and name not in had), None)
