"""One reading of a chat completion for both adapters, streamed or whole.

OpenAI's format is the letter; the spirit is what upstreams make of it. Everything known to differ
is handled here and listed in `tests/support/oddities.py`, so that nobody else has to care.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from oxen_inference.chat import usage as usages
from oxen_inference.chat.answer import Answer, Delta, ToolDelta
from oxen_inference.chat.characters import Halves, decoded, is_json
from oxen_inference.chat.extras import read_extras
from oxen_inference.chat.finish_reasons import ended_of_itself, has_failed, read_reason
from oxen_inference.chat.reasoning import FIELDS, ReasoningBlocks, content_parts
from oxen_inference.chat.tool_fragments import ToolCallAssembler
from oxen_inference.error_mapping import human_text, status_error
from oxen_inference.errors import APIResponseError, OxenError, StreamCutOffError, StreamError

_METADATA = ("created", "system_fingerprint", "service_tier", "provider", "citations")


class AnswerReader:
    """Reads the events of one answer. `read` returns what each adds, `finish` the last delta.

    Raises `APIStatusError` for an error the upstream put into the stream, `StreamError` for an
    event nobody can read, `StreamCutOffError` where the end is missing; each carries in
    ``partial`` the `Answer` so far.
    """

    def __init__(self) -> None:
        self.done = False
        """Whether the upstream said that nothing follows."""
        self._answer = Answer()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._blocks = ReasoningBlocks()
        self._tools = ToolCallAssembler()
        self._usage: dict[str, Any] | None = None
        self._logprobs: list[Any] = []
        self._choice_index: Any = None
        self._halves: Halves | None = None
        self._has_choice = False
        self._messages = False
        """Whether whole messages have been read in place of deltas."""

    @property
    def finished(self) -> bool:
        """Whether the answer is whole: there was a finish reason, or [DONE]."""
        return self.done or self._answer.finish_reason is not None

    def _unsaid(self) -> tuple[str, ...]:
        """Return what the last call's arguments are before they come, if they may be missing."""
        reason = self._answer.finish_reason
        if reason is None and self.done:
            return ("",)
        # Anthropic's `"input": {}` is also what it gives for arguments that max_tokens cut off.
        return () if ended_of_itself(reason) else ("", "{}")

    def answer(self) -> Answer:
        """Return the answer as far as it has been read."""
        answer = self._answer
        answer.text = "".join(self._text)
        answer.reasoning = "".join(self._reasoning)
        answer.refusal = "".join(self._refusal)
        answer.reasoning_details = self._blocks.blocks
        answer.reasoning_field = self._blocks.field
        answer.tool_calls = self._tools.calls(self._unsaid())
        answer.usage = usages.read_usage(self._usage)
        answer.logprobs = {"content": self._logprobs} if self._logprobs else None
        return answer

    def read_event(self, name: str | None, data: bytes) -> Delta | None:
        """Read one server-sent event; events after [DONE] are none of the answer."""
        if self.done:
            return None
        if data.startswith(b"[DONE]"):
            self.done = True
            return None
        try:
            if name is not None and name != "message":
                return self._read_named(name, data)
            try:
                chunk = from_json(data)  # three times as fast as json.loads on a chunk's size
            except ValueError:
                chunk = self._read_leniently(data)
            return self.read(self._halves.mend(chunk) if self._halves else chunk)
        except OxenError:
            if self._answer.finish_reason is None:
                raise
            # The answer is whole. Gateways add usage and cost in a step of their own, which can
            # fail; asking again would pay for the answer again.
            self.done = True
            return None

    def _read_named(self, name: str, data: bytes) -> Delta | None:
        try:
            chunk = json.loads(decoded(data))
        except ValueError:
            chunk = decoded(data)
        if name == "error":
            raise self._with_partial(status_error(chunk))
        # Pings, and whatever else a gateway tells in words of its own, which are no complaint.
        if not isinstance(chunk, dict) or not chunk.keys() & {"choices", "usage", "error"}:
            return None
        return self.read(Halves().mend(chunk))

    def read_body(self, body: bytes) -> list[Delta]:
        """Read an answer that came as JSON, or as lines of it, though events had been asked for."""
        if is_json(body):
            deltas = [self.read_whole(json.loads(decoded(body)))]
        else:
            lines = [line for line in body.splitlines() if line.strip()]
            if not lines or not is_json(lines[0]):
                raise self.unreadable(body)
            if not is_json(lines[-1]) and not lines[-1].startswith(b"[DONE]"):
                del lines[-1]  # half of one
            deltas = [self.read_event(None, line) for line in lines]
        return [delta for delta in deltas if delta is not None]

    def read_whole(self, completion: Any) -> Delta | None:
        """Read the decoded body of an answer in one piece."""
        delta = self.read(Halves().mend(completion))
        # The transport knows where a whole body ends, so it cannot have been cut off; but one
        # chunk, of which there should be more, is no whole body.
        has_parts = self._has_choice and isinstance(completion, dict)
        self.done = not (has_parts and completion["choices"][0].get("delta"))
        return delta

    def read(self, chunk: Any) -> Delta | None:
        """Read one decoded chunk, or a whole completion."""
        if type(chunk) is not dict:
            return self._read_other(chunk)
        choices = chunk.get("choices")
        if not choices or chunk.get("error"):
            self._raise_if_error(chunk)
        if usage := chunk.get("usage"):
            self._read_usage(usage)
        elif isinstance(groq := chunk.get("x_groq"), dict):
            self._read_usage(groq.get("usage"))
        if self._answer.model is None or self._answer.id is None:
            self._read_identity(chunk)

        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return None
        self._has_choice = True
        if (index := choice.get("index")) is not None and index != self._choice_index:
            if self._choice_index is not None and str(index) != str(self._choice_index):
                return None  # a second choice nobody asked for
            self._choice_index = index
        if choice.get("usage"):
            self._read_usage(choice["usage"])

        said, whole = choice.get("delta"), False
        if not said or ("message" in choice and _is_silent(said)):
            said, whole = self._snapshot(choice), True
        delta = self._read_message(said, whole=whole) if isinstance(said, dict) else None
        if logprobs := choice.get("logprobs"):
            delta = self._read_logprobs(delta, logprobs)
        if choice.get("finish_reason") or "error" in choice:
            self._read_end(choice)
            self._read_identity(chunk)  # some say more about the answer when it has ended
        return delta

    def _read_end(self, choice: dict[str, Any]) -> None:
        reason = read_reason(choice.get("finish_reason"))
        error = choice.get("error")
        if error or (reason and has_failed(reason)):
            words = f"The model behind Oxen failed while it was answering: {reason!r}."
            raise self._with_partial(status_error({"error": error or words}))
        if reason:
            self._answer.finish_reason = reason

    def finish(self) -> Delta:
        """Return the last delta, with the whole answer. Raises where it is not whole."""
        if not self.finished:
            raise self.cut_off(
                "The answer was cut off: the stream ended with neither a finish reason nor "
                "[DONE]. An upstream timed out or broke; asking again may help."
            )
        if not self._has_choice:
            raise APIResponseError(
                "Oxen sent an empty answer: no choice in it. Asking again may help."
            )
        last: list[ToolDelta] = self._tools.finish(self._unsaid())
        return Delta(tools=last or (), end=self.answer())

    def cut_off(self, message: str) -> StreamCutOffError:
        return StreamCutOffError(message, partial=self.answer())

    def unreadable(self, body: bytes | str) -> OxenError:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        shown = (human_text(text) or "an empty body")[:300]
        if self._has_choice:
            return StreamError(
                f"Oxen sent a stream event that is not JSON: {shown}",
                body=text,
                partial=self.answer(),
            )
        return APIResponseError(
            f"Oxen answered with something that is not JSON: {shown}. If it is another server's "
            "page, check the base URL.",
            body=text,
        )

    def _read_other(self, chunk: Any) -> Delta | None:
        if chunk is None or chunk == []:
            return None
        if isinstance(chunk, list) and isinstance(chunk[0], dict):
            return self.read(chunk[0])
        raise self.unreadable(json.dumps(chunk))

    def _read_leniently(self, data: bytes) -> Any:
        try:
            chunk = json.loads(decoded(data))
        except ValueError:
            raise self.unreadable(data) from None
        # JSON all the same, but for the halves of characters that were escaped apart.
        self._halves = self._halves or Halves()
        return chunk

    def _raise_if_error(self, chunk: dict[str, Any]) -> None:
        explicit = (
            chunk.get("error")
            or chunk.get("status") == "error"
            or chunk.get("object") == "error"
            or chunk.get("type") == "error"
            or _has_failed_base(chunk.get("base_resp"))
        )
        # Without choices, usage or an id it is not a chunk; if it has words, they are a complaint.
        strange = not (chunk.keys() & {"choices", "usage", "id", "object", "x_groq", "type"})
        if explicit or (strange and human_text(chunk)):
            raise self._with_partial(status_error(chunk))

    def _with_partial(self, error: Any) -> Any:
        error.partial = self.answer() if self._has_choice else None
        return error

    def _read_usage(self, raw: Any) -> None:
        if isinstance(raw, dict):
            self._usage = usages.merge(self._usage, raw)

    def _read_identity(self, chunk: dict[str, Any]) -> None:
        answer = self._answer
        answer.id = answer.id or _string(chunk.get("id"))
        answer.model = answer.model or _string(chunk.get("model"))
        for name in _METADATA:
            if name in chunk and chunk[name] is not None:
                answer.metadata[name] = chunk[name]

    def _snapshot(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        """Return what a whole `message`, sent where a delta belongs, adds to what is known.

        Behind deltas it is the answer again, and what they said already stands; where messages
        are all there is, each may go on where the last one ended, or have all of it again.
        """
        message = choice.get("message")
        if not isinstance(message, dict):
            text = choice.get("text")
            return {"content": text} if isinstance(text, str) else None
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        again = bool(text or reasoning or self._refusal or self._tools.begun) and not self._messages
        self._messages = self._messages or not again
        news = dict(message)
        for field, known in (
            ("content", text),
            ("reasoning_content", reasoning),
            ("reasoning", reasoning),
            ("refusal", "".join(self._refusal)),
        ):
            value = news.get(field)
            if again and field == "content" and isinstance(value, list | dict):
                value = content_parts(value)[0]
            if known and value and (again or isinstance(value, str)):
                continues = isinstance(value, str) and value.startswith(known)
                news[field] = value[len(known) :] if continues else "" if again else value
        if again and reasoning:
            for field in FIELDS:
                news.pop(field, None)
        return news

    def _read_message(self, said: dict[str, Any], *, whole: bool) -> Delta | None:
        delta = Delta()
        content = said.get("content")
        if content:
            if type(content) is str:
                delta.text = content
            else:
                delta.text, delta.reasoning = content_parts(content)
            self._text.append(delta.text)
        if len(said) > 1 or not content:
            delta.reasoning += self._blocks.read(said, whole=whole)
            read_extras(self._answer.extras, said, whole=whole)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if refusal := said.get("refusal"):
            delta.refusal = str(refusal)
            self._refusal.append(delta.refusal)
        if calls := said.get("tool_calls"):
            add = self._tools.add_whole if whole else self._tools.add
            delta.tools = add(calls if isinstance(calls, list) else [calls])
        elif call := said.get("function_call"):
            add = self._tools.add_whole if whole else self._tools.add
            delta.tools = add([{"index": 0, "function": call}])
        if delta.text or delta.reasoning or delta.tools or delta.refusal:
            return delta
        return None

    def _read_logprobs(self, delta: Delta | None, logprobs: Any) -> Delta | None:
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if not isinstance(content, list) or not content:
            return delta
        self._logprobs += content
        delta = delta or Delta()
        delta.logprobs = {"content": content}
        return delta


def _is_silent(delta: Any) -> bool:
    """Whether a delta says nothing, be it with a role."""
    return isinstance(delta, dict) and not any(v for k, v in delta.items() if k != "role")


def _has_failed_base(base: Any) -> bool:
    # MiniMax's, in every answer (https://platform.minimax.io/docs/api-reference/errorcode).
    return isinstance(base, dict) and base.get("status_code") not in (None, 0)


def _string(value: object) -> str | None:
    return str(value) if value and isinstance(value, str | int) else None
