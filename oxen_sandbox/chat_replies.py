"""What the chat models answer: the replies a test has scripted, else a plain one from the request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from oxen_sandbox.chat_checks import thinks
from oxen_sandbox.chat_families import Family
from oxen_sandbox.chat_synthesis import PromptValues, synthesize
from oxen_sandbox.wire import Rejected

Body = Mapping[str, Any]
When = Callable[[dict[str, Any]], object] | Mapping[str, Any]
"""A function of the request body, or members that the body must have."""

_LONGEST_ECHO = 400
_COMMON_WORDS = {"get", "make", "create", "generate", "run", "use", "tool"}
"""Words of a tool's name that a prompt need not have."""

_TEXT, _OBJECT = {"type": "string"}, {"type": "object"}
_CALL = {"type": "array", "prefixItems": [_TEXT, {"type": ["object", "string"]}], "minItems": 2}
_FORMAT = Draft202012Validator({
    "type": "object",
    "properties": {
        "text": _TEXT,
        "tool_calls": {"type": "array", "items": {**_CALL, "maxItems": 2}},
        "reasoning": _TEXT,
        "refusal": _TEXT,
        "finish_reason": _TEXT,
        "usage": _OBJECT,
        "when": _OBJECT,
        "times": {"type": ["integer", "null"], "minimum": 1},
    },
    "additionalProperties": False,
})  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """One answer of a chat model; `None` leaves a part to the model's family."""

    text: str = ""
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Name and arguments of each; arguments that are a string are sent as they are."""
    reasoning: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    """Members that replace those of the usage counted."""
    when: When | None = field(default=None, repr=False)
    times: int | None = 1
    """How many requests it answers; None for any number."""

    @classmethod
    def from_json(cls, data: Any) -> Reply:
        """A reply from a JSON object of the same names; raises ValueError for anything else."""
        for error in _FORMAT.iter_errors(data):
            raise ValueError(f"{'.'.join(map(str, error.path)) or 'a reply'}: {error.message}")
        calls = [(name, arguments) for name, arguments in data.get("tool_calls", ())]
        return cls(**{**data, "tool_calls": calls})

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; a predicate that is a function shows as its name."""
        shown = {
            "text": self.text,
            "tool_calls": [list(call) for call in self.tool_calls],
            "reasoning": self.reasoning,
            "refusal": self.refusal,
            "finish_reason": self.finish_reason,
            "usage": dict(self.usage),
            "when": repr(self.when) if callable(self.when) else self.when,
        }
        data = {name: value for name, value in shown.items() if value not in (None, "", [], {})}
        return data if self.times == 1 else {**data, "times": self.times}

    def suits(self, body: Body) -> bool:
        """Tell whether the reply is meant for a request."""
        if self.when is None:
            return True
        if isinstance(self.when, Mapping):
            return all(body.get(name) == value for name, value in self.when.items())
        try:
            return bool(self.when(dict(body)))
        except Exception as error:
            text = f"The predicate of a scripted reply failed: {error!r}"
            raise Rejected(500, text) from error


@dataclass(eq=False)
class _Waiting:
    reply: Reply
    fetched: int = 0


class Replies:
    """The scripted replies, in order, while requests can fetch them; safe to use from any thread."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()

    def add(self, replies: Iterable[Reply]) -> None:
        """Put replies at the end of the queue."""
        with self._lock:
            self._waiting.extend(map(_Waiting, replies))

    def take(self, body: Body) -> Reply | None:
        """Fetch the first reply that suits a request."""
        with self._lock:
            for waiting in self._waiting:
                if waiting.reply.suits(body):
                    waiting.fetched += 1
                    if waiting.fetched == waiting.reply.times:
                        self._waiting.remove(waiting)
                    return waiting.reply
        return None

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._waiting.clear()

    def left(self) -> list[Reply]:
        """Return those not fetched, or not as often as they should be."""
        with self._lock:
            return [w.reply for w in self._waiting if w.reply.times is not None or not w.fetched]


@dataclass
class _Turn:
    """The user's last turn: its text and attachments, and what was called and returned since."""

    text: str = ""
    attachments: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


def unscripted(body: Body, family: Family) -> Reply:
    """Answer without a script: tool calls, JSON or an echo, which follow from the request alone."""
    turn = _last_turn(body["messages"])
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}

    def synthesized(name: str) -> Any:
        return synthesize(tools[name].get("parameters") or {"type": "object"}, values)

    values = PromptValues(turn.text)
    for name in turn.called:  # what earlier calls took from the prompt is not taken again
        if name in tools:
            synthesized(name)
    for result in turn.results:
        values.add_result(result)
    if names := _tools_to_call(body, turn, list(tools)):
        text = f"I'll use {' and '.join(names)} for that." if family.talks_before_tools else ""
        return Reply(text, [(name, synthesized(name)) for name in names])
    return Reply(_json(body, turn, values) or _echo(turn))


def reasoning_of(body: Body, family: Family) -> str:
    """Return what a model of this family thinks before it answers; "" where it does not."""
    if family.reasons == "never" or not thinks(body, asked_only=family.reasons == "asked"):
        return ""
    return f"Let me think about this: {_last_turn(body['messages']).text[:_LONGEST_ECHO]}"


def _last_turn(messages: Sequence[Mapping[str, Any]]) -> _Turn:
    turn, previous = _Turn(), ""
    for message in messages:
        role, (text, attachments) = message["role"], _parts(message.get("content"))
        if role == "assistant":
            turn.called += [call["function"]["name"] for call in message.get("tool_calls") or ()]
        elif role == "tool":
            turn.results.append(text)
        elif role == "user" and previous == "tool" and attachments:
            continue  # the images of a tool's result, sent again for models that see
        elif role == "user" and previous == "user":
            turn = _Turn(f"{turn.text}\n{text}", [*turn.attachments, *attachments])
        elif role == "user":
            turn = _Turn(text, attachments)
        previous = role
    return turn


def _parts(content: Any) -> tuple[str, list[str]]:
    """Return the text of a message, and the kind of each attachment."""
    if not isinstance(content, list):
        return content or "", []
    texts = [part["text"] for part in content if part["type"] == "text"]
    kinds = [part["type"].removesuffix("_url") for part in content if part["type"] != "text"]
    return "\n".join(texts), kinds


def _tools_to_call(body: Body, turn: _Turn, names: list[str]) -> list[str]:
    """Choose the forced tool, else each that the user's words name, else the first.

    After a tool's result there are no more calls, unless the request asks for one at a time or
    requires one: then a tool that was not called yet comes next.
    """
    choice = body.get("tool_choice") or "auto"
    if not names or choice == "none":
        return []
    if isinstance(choice, Mapping):
        return [choice["function"]["name"]]
    one_at_a_time = body.get("parallel_tool_calls") is False
    chosen: list[str] = []
    if not turn.called:
        chosen = _named_tools(turn.text, names) or names[:1]
    elif one_at_a_time or choice == "required":
        chosen = [name for name in _named_tools(turn.text, names) if name not in turn.called]
    if not chosen and choice == "required":
        chosen = [next((name for name in names if name not in turn.called), names[0])]
    return chosen[:1] if one_at_a_time else chosen


def _named_tools(text: str, names: Sequence[str]) -> list[str]:
    """Return the tools whose name's words a text has, in their order of appearance there."""
    found = [(place, name) for name in names if (place := _place(text, name)) is not None]
    return [name for _, name in sorted(found, key=lambda item: item[0])]


def _place(text: str, name: str) -> int | None:
    """Return where a text has the first of a tool name's words, or None where it lacks one."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    wanted = [word for word in words if word not in _COMMON_WORDS] or words
    found = [
        re.search(rf"(?<![^\W_]){word}(?:e?s)?(?![^\W_])", text, re.IGNORECASE) for word in wanted
    ]
    places = [match.start() for match in found if match]
    return min(places) if places and len(places) == len(wanted) else None


def _json(body: Body, turn: _Turn, values: PromptValues) -> str | None:
    """Make the JSON that `response_format` asks for."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        made = synthesize(wanted["json_schema"].get("schema") or {"type": "object"}, values)
    elif wanted.get("type") == "json_object":  # the prompt quotes the keys, where it has any
        keys = [key for key in values.strings if re.fullmatch(r"\w+", key)] or ["answer"]
        made = {key: _echo(turn) for key in keys}
    else:
        return None
    return json.dumps(made, ensure_ascii=False)


def _echo(turn: _Turn) -> str:
    if turn.results:
        return "\n".join(turn.results)
    attached = "".join(f" [{kind}]" for kind in turn.attachments)
    cut = "…" if len(turn.text) > _LONGEST_ECHO else ""
    return f"You said: {turn.text[:_LONGEST_ECHO]}{cut}{attached}"
