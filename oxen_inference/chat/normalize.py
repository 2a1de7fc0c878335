"""Reads a chat completion, streamed or whole, into one form for both adapters.

The format is OpenAI's, and upstreams deviate from it. The known deviations are listed in
`tests/support/oddities.py`. Those of the events and of the answer as a whole are handled here, and
those of a part in its own module: `sse`, `content`, `reasoning`, `tool_calls`, `extras`,
`finish_reasons`, `usage`. The adapters know none of them.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from oxen_inference.chat.answer import NOTHING_EXPECTED, Answer, Delta, Expected, ToolDelta
from oxen_inference.chat.call_fields import read_index
from oxen_inference.chat.content import with_text
from oxen_inference.chat.extras import EXTRA_FIELDS, add_extras, add_sources
from oxen_inference.chat.finish_reasons import (
    is_failure,
    is_filtered,
    is_natural_end,
    is_refusal,
    parse_finish_reason,
    ran_out_of_tokens,
)
from oxen_inference.chat.reasoning import (
    FIELDS,
    TEXT_FIELDS,
    InlineThoughts,
    ReasoningBlocks,
    text_in,
)
from oxen_inference.chat.sse import SurrogateJoiner, decode_text, is_json
from oxen_inference.chat.tool_calls import ToolCallAssembler
from oxen_inference.chat.usage import (
    StatedCost,
    merge_usage,
    read_cost_beside,
    read_stated_cost,
    read_usage,
)
from oxen_inference.error_body import human_text, normalize_code
from oxen_inference.error_mapping import STATUS_OF_TYPE, status_error
from oxen_inference.errors import APIResponseError, OxenError, StreamCutOffError, StreamError

_METADATA = (
    "created",
    "system_fingerprint",
    "service_tier",
    "provider",
    "citations",
    "search_results",
)
_PLAIN = ("content", "role")
"""The fields of a delta that adds text only."""


class AnswerReader:
    """Reads the events of one answer: `read_event` returns what each adds, `finish` the end.

    Raises `APIStatusError` for an error that the upstream put into the stream, `StreamError` for
    an event that is not JSON, and `StreamCutOffError` where the end is missing. Each has the
    `Answer` so far in ``partial``.
    """

    def __init__(self, expected: Expected = NOTHING_EXPECTED) -> None:
        self.done = False
        """Whether the upstream said that nothing follows."""
        self._answer = Answer()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._blocks = ReasoningBlocks()
        self._tool_calls = ToolCallAssembler(expected.tool_names)
        self._thoughts = InlineThoughts() if expected.is_object else None
        self._usage: dict[str, Any] | None = None
        self._cost_beside: StatedCost | None = None
        self._logprobs: list[Any] = []
        self._choice_index: Any = None
        self._surrogates: SurrogateJoiner | None = None
        self._has_choice = False
        self._has_message = False
        """Whether a choice had a message, or a delta with more than text."""
        self._streams_messages = False
        """Whether the upstream sends messages where it should send deltas."""

    @property
    def finished(self) -> bool:
        """Whether the answer is complete: there was a finish reason, or [DONE]."""
        return self.done or self._answer.finish_reason is not None

    def answer(self) -> Answer:
        """Return the answer as far as it was read."""
        answer = self._answer
        answer.text = "".join(self._text)
        answer.reasoning = "".join(self._reasoning)
        answer.refusal = "".join(self._refusal)
        answer.reasoning_details = self._blocks.blocks
        answer.reasoning_field = self._blocks.field
        answer.tool_calls = self._tool_calls.calls(self._missing_arguments())
        answer.usage = read_usage(self._usage)
        answer.cost_stated = read_stated_cost(self._usage) or self._cost_beside
        answer.logprobs = {"content": self._logprobs} if self._logprobs else None
        return answer

    def _missing_arguments(self) -> tuple[str, ...]:
        """Return the texts that mean "not arrived yet" as arguments of the last tool call."""
        reason = self._answer.finish_reason
        if reason is None and self.done:
            return ("",)
        # Anthropic sends `"input": {}` also for arguments that max_tokens cut off.
        return () if is_natural_end(reason) else ("", "{}")

    def read_event(self, name: str | None, data: bytes) -> Delta | None:
        """Read one server-sent event. Events after [DONE] are ignored."""
        if self.done:
            return None
        if data.startswith(b"[DONE]"):
            self.done = True
            return None
        try:
            if name is not None and name != "message":
                return self._read_named_event(name, data)
            try:
                chunk = from_json(data)  # three times as fast as json.loads for a chunk's size
            except ValueError:
                chunk = self._parse_leniently(data)
            return self.read(self._surrogates.join(chunk) if self._surrogates else chunk)
        except (OxenError, RecursionError) as error:
            if self._answer.finish_reason is None:
                if isinstance(error, OxenError):
                    raise
                # Python's parser gives up on as many brackets as a model that loops writes.
                raise self.not_json(data) from None
            # The answer is complete. Gateways add usage and cost in a further step, which can
            # fail; a second request would pay for the answer again.
            self.done = True
            return None

    def _read_named_event(self, name: str, data: bytes) -> Delta | None:
        try:
            chunk = json.loads(decode_text(data))
        except (ValueError, RecursionError):
            chunk = decode_text(data)
        if name == "error":
            raise self._with_partial(status_error(chunk))
        # Pings and other events of a gateway, which are no part of the answer.
        if not isinstance(chunk, dict) or not chunk.keys() & {"choices", "usage", "error"}:
            return None
        return self.read(SurrogateJoiner().join(chunk))

    def read_body(self, body: bytes) -> list[Delta]:
        """Read an answer that came as JSON, or as lines of JSON, where events were requested."""
        if is_json(body):
            deltas = [self.read_whole(json.loads(decode_text(body)))]
        else:
            lines = [line for line in body.splitlines() if line.strip()]
            if not lines or not is_json(lines[0]):
                raise self.not_json(body)
            if not is_json(lines[-1]) and not lines[-1].startswith(b"[DONE]"):
                del lines[-1]  # it was cut off
            deltas = [self.read_event(None, line) for line in lines]
        return [delta for delta in deltas if delta is not None]

    def read_whole(self, completion: Any) -> Delta | None:
        """Read the decoded body of an answer in one piece."""
        try:
            delta = self.read(SurrogateJoiner().join(completion))
        except RecursionError:
            raise APIResponseError(
                "Oxen sent an answer that is nested too deeply to be read.",
                hint="Asking again may help.",
            ) from None
        # The transport knows the length of the body, so it was not cut off. But a body that is
        # one chunk of a stream lacks the other chunks.
        choice = _first_choice(completion.get("choices")) if isinstance(completion, dict) else None
        self.done = not (isinstance(choice, dict) and choice.get("delta"))
        return delta

    def read(self, chunk: Any) -> Delta | None:
        """Read one decoded chunk, or a complete completion."""
        if type(chunk) is not dict:
            return self._read_other(chunk)
        if usage := chunk.get("usage"):
            self._read_usage(usage)
        elif isinstance(groq := chunk.get("x_groq"), dict):
            self._read_usage(groq.get("usage"))
        if "cost" in chunk:
            self._cost_beside = read_cost_beside(chunk) or self._cost_beside
        choices = chunk.get("choices")
        if not choices or chunk.get("error"):
            self._raise_if_error(chunk)
        if self._answer.model is None or self._answer.id is None:
            self._read_identity(chunk)

        choice = choices[0] if type(choices) is list and choices else _first_choice(choices)
        if type(choice) is not dict:
            return None
        self._has_choice = True
        if (index := choice.get("index")) is not None and index != self._choice_index:
            if self._choice_index is not None and read_index(index) != self._choice_index:
                return None  # a second choice, which was not requested
            self._choice_index = read_index(index)
        if choice.get("usage"):
            self._read_usage(choice["usage"])

        fields, complete = choice.get("delta"), False
        if not fields or ("message" in choice and _is_empty(fields)):
            fields, complete = self._fields_of_message(choice), True
        delta = None
        if fields is not None:
            fields = fields if type(fields) is dict else {"content": fields}
            delta = self._read_fields(fields, complete=complete)
        if logprobs := choice.get("logprobs"):
            delta = self._read_logprobs(delta, logprobs)
        if choice.get("finish_reason") or choice.get("stop_reason") or "error" in choice:
            self._read_finish_reason(choice)
            self._read_identity(chunk)  # some upstreams add facts about the answer at its end
        return delta

    def _read_finish_reason(self, choice: dict[str, Any]) -> None:
        reason = parse_finish_reason(choice.get("finish_reason"))
        if reason is None and self._answer.finish_reason is None:
            stop = choice.get("stop_reason")  # Anthropic's name
            # Beside a finish reason, vLLM has the text or the token under it that ended the answer.
            reason = parse_finish_reason(stop) if isinstance(stop, str) else None
        error = choice.get("error")
        if error or (reason and is_failure(reason)):
            message = f"The model behind Oxen failed while it was answering: {reason!r}."
            raise self._with_partial(status_error({"error": error or message}))
        if reason:
            self._answer.finish_reason = reason

    def finish(self) -> Delta:
        """Return the last delta, with the complete answer. Raises where it is incomplete."""
        if not self.finished:
            raise StreamCutOffError(
                "The answer was cut off: the stream ended with neither a finish reason nor [DONE].",
                partial=self.answer(),
                hint="An upstream timed out or broke; asking again may help.",
            )
        if not self._has_choice or not (self._has_message or self._text):
            self._raise_if_unexplained()
        delta = Delta()
        if self._thoughts:
            delta.text, delta.reasoning = self._thoughts.finish()
            self._text.append(delta.text)
            self._reasoning.append(delta.reasoning)
        last: list[ToolDelta] = self._tool_calls.finish(self._missing_arguments())
        delta.tools = last or ()
        delta.end = self.answer()
        return delta

    def _raise_if_unexplained(self) -> None:
        """Raise for an answer without a message, unless its finish reason says why there is none.

        Google sends no message where it blocks the prompt.
        """
        reason = self._answer.finish_reason
        if is_filtered(reason) or is_refusal(reason) or ran_out_of_tokens(reason):
            return
        lacks = "its choice has no message" if self._has_choice else "it has no choice"
        ended = f" (finish reason: {reason!r})" if reason else ""
        raise self._with_partial(
            APIResponseError(
                f"Oxen sent an empty answer: {lacks}{ended}.", hint="Asking again may help."
            )
        )

    def not_json(self, body: bytes | str) -> OxenError:
        """Return the error for a response, or an event of it, that is not JSON."""
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        shown = (human_text(text) or "an empty body")[:300]
        if self._has_choice:
            return StreamError(
                f"Oxen sent a stream event that is not JSON: {shown}",
                body=text,
                partial=self.answer(),
            )
        return APIResponseError(
            f"Oxen answered with something that is not JSON: {shown}.",
            body=text,
            hint="If it is another server's page, check the base URL.",
        )

    def _read_other(self, chunk: Any) -> Delta | None:
        if chunk is None or chunk == []:
            return None
        if isinstance(chunk, list) and isinstance(chunk[0], dict):
            return self.read(chunk[0])
        raise self.not_json(json.dumps(chunk))

    def _parse_leniently(self, data: bytes) -> Any:
        try:
            chunk = json.loads(decode_text(data))
        except ValueError:
            raise self.not_json(data) from None
        # It is JSON with characters that are damaged or escaped as two separate halves.
        self._surrogates = self._surrogates or SurrogateJoiner()
        return chunk

    def _raise_if_error(self, chunk: dict[str, Any]) -> None:
        is_error = (
            chunk.get("error")
            or chunk.get("status") == "error"
            or chunk.get("object") == "error"
            or chunk.get("type") == "error"
            or _is_failed_base_resp(chunk.get("base_resp"))
        )
        if is_error or _is_bare_error(chunk):
            raise self._with_partial(status_error(chunk))

    def _with_partial(self, error: Any) -> Any:
        answer = self.answer()
        is_counted = answer.cost_stated or (answer.usage and answer.usage.total_tokens)
        error.partial = answer if self._has_choice or is_counted else None
        return error

    def _read_usage(self, raw: Any) -> None:
        if isinstance(raw, dict):
            self._usage = merge_usage(self._usage, raw)

    def _read_identity(self, chunk: dict[str, Any]) -> None:
        answer = self._answer
        answer.id = answer.id or _string(chunk.get("id"))
        answer.model = answer.model or _string(chunk.get("model"))
        for name in _METADATA:
            if name in chunk and chunk[name] is not None:
                answer.metadata[name] = chunk[name]

    def _fields_of_message(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        """Return the fields of a `message` that came in place of a delta, without known text.

        After deltas the message repeats the whole answer. Where an upstream sends messages only,
        each may continue the last one, or repeat it and continue.
        """
        message = choice.get("message")
        if message is None:
            message = choice.get("content") if (text := choice.get("text")) is None else text
        if message is None:
            self._has_message = self._has_message or isinstance(choice.get("delta"), dict)
            return None
        message = message if isinstance(message, dict) else {"content": message}
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        started = bool(text or reasoning or self._refusal or self._tool_calls.started)
        is_repeat = started and not self._streams_messages
        self._streams_messages = self._streams_messages or not is_repeat
        fields = dict(with_text(message))
        for field, known in (
            ("content", text),
            *((field, reasoning) for field in TEXT_FIELDS),
            ("refusal", "".join(self._refusal)),
        ):
            value = fields.get(field)
            if known and value and (is_repeat or isinstance(value, str)):
                continues = isinstance(value, str) and value.startswith(known)
                fields[field] = value[len(known) :] if continues else "" if is_repeat else value
        if is_repeat and reasoning:
            for field in FIELDS:
                fields.pop(field, None)
        return fields

    def _read_fields(self, fields: dict[str, Any], *, complete: bool) -> Delta | None:
        """Read the fields of a delta, or of a `complete` message."""
        delta = Delta()
        content = fields.get("content")
        if type(content) is not str:
            fields = with_text(fields)
            content = fields.get("content")
        if content:
            delta.text = content
            if self._thoughts is not None:
                delta.text, delta.reasoning = self._thoughts.feed(content)
            self._text.append(delta.text)
        if len(fields) > 1 or not content:
            self._has_message = True
            for name, value in fields.items():
                if value and name not in _PLAIN:
                    self._read_other_fields(fields, delta, complete=complete)
                    break
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if delta.text or delta.reasoning or delta.tools or delta.refusal:
            return delta
        return None

    def _read_other_fields(self, fields: dict[str, Any], delta: Delta, *, complete: bool) -> None:
        """Read what a delta, or a `complete` message, has besides text, into `delta`."""
        if error := fields.get("error"):
            raise self._with_partial(status_error({"error": error}))
        delta.reasoning += self._blocks.read(fields, complete=complete)
        if not EXTRA_FIELDS.isdisjoint(fields):
            answer = self._answer
            add_extras(answer.extras, fields, replace=complete and not self._streams_messages)
            add_sources(answer.extras, answer.metadata, fields)
        if refusal := fields.get("refusal"):
            delta.refusal = text_in(refusal) or str(refusal)
            self._refusal.append(delta.refusal)
        calls = fields.get("tool_calls")
        if not calls and (call := fields.get("function_call")):
            calls = [{"index": 0, "function": call}]
        if calls:
            add = self._tool_calls.add_complete if complete else self._tool_calls.add
            delta.tools = add(calls if isinstance(calls, list) else [calls])

    def _read_logprobs(self, delta: Delta | None, logprobs: Any) -> Delta | None:
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if not isinstance(content, list) or not content:
            return delta
        self._logprobs += content
        delta = delta or Delta()
        delta.logprobs = {"content": content}
        return delta


def _first_choice(choices: Any) -> Any:
    """Return the first choice, also of choices that are no list."""
    if isinstance(choices, list):
        return choices[0] if choices else None
    if isinstance(choices, str) and choices:
        return {"message": choices}
    if not isinstance(choices, dict) or not choices:
        return None
    is_choice = choices.keys() & {"message", "delta", "text", "content"}
    return choices if is_choice else next(iter(choices.values()))


def _is_empty(delta: Any) -> bool:
    """Whether a delta has nothing but a role."""
    return isinstance(delta, dict) and not any(v for k, v in delta.items() if k != "role")


def _is_bare_error(chunk: dict[str, Any]) -> bool:
    """Whether a chunk is nothing but an error's fields: a text for people, and no part of an answer."""
    if not chunk.keys() & {"choices", "usage", "id", "object", "x_groq", "type"}:
        return bool(human_text(chunk))
    if chunk.get("choices") or chunk.get("usage") or chunk.get("x_groq"):
        return False
    texts = (chunk.get("message"), chunk.get("detail"))
    if not any(isinstance(text, str) and text.strip() for text in texts):
        return False
    if str(chunk.get("object")).startswith("chat.completion"):
        return False
    # What a gateway says of its work while the model is busy has a type and a message, too.
    kind = str(chunk.get("type") or "error").lower()
    return "code" in chunk or "error" in kind or normalize_code(kind) in STATUS_OF_TYPE


def _is_failed_base_resp(value: Any) -> bool:
    # MiniMax sends one in every answer (https://platform.minimax.io/docs/api-reference/errorcode).
    return isinstance(value, dict) and value.get("status_code") not in (None, 0)


def _string(value: object) -> str | None:
    return str(value) if value and isinstance(value, str | int) else None
