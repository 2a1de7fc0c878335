"""Reasoning in the forms providers send it: a string, content parts, typed blocks, or in the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELDS = ("reasoning_details", "thinking_blocks")
"""The fields that hold a provider's reasoning blocks: OpenRouter's and LiteLLM's.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens
https://docs.litellm.ai/docs/reasoning_content
"""
TEXT_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content")
"""The fields that hold reasoning as text, in the order of trust."""
SIGNED = "signed_thinking"
"""The field in which adapters give Anthropic's signed blocks that came from elsewhere; never sent."""
_STREAMED = ("text", "summary", "thinking")  # strings that come in pieces
_SEALS = ("signature", "data")


class ReasoningBlocks:
    """Collects a provider's blocks (signed, encrypted, summarized), to be sent back unchanged.

    A signature covers the text of its block, so two blocks must not be merged into one.
    """

    __slots__ = ("blocks", "field")

    def __init__(self) -> None:
        self.field = FIELDS[0]
        """The field in which the blocks came."""
        self.blocks: list[dict[str, Any]] = []

    def read(self, fields: Mapping[str, Any], *, complete: bool) -> str:
        """Keep the blocks of a delta, or of a `complete` message; return the new reasoning text."""
        # Upstreams that serve two dialects send both fields, with the same text.
        text = ""
        for name in TEXT_FIELDS:
            if value := fields.get(name):
                text = value if type(value) is str else text_in(value)
                if text:
                    break
        new = repeated = ""
        for field in FIELDS:
            if blocks := fields.get(field):
                self.field = field
                for block in blocks if isinstance(blocks, list) else []:
                    if isinstance(block, dict):
                        added = self._add(block, complete=complete)
                        new += added
                        repeated += "" if added else text_in(block)
                break
        # The blocks have the same text.
        return text if text and text != repeated else new

    def _add(self, block: dict[str, Any], *, complete: bool) -> str:
        """Add a block, or extend the last one by it; return the text that is new."""
        last = self.blocks[-1] if self.blocks else None
        if complete or last is None or _starts_new_block(last, block):
            self.blocks.append(dict(block))
            return text_in(block)
        text = text_in(block)
        # LiteLLM sends the whole text again, together with the signature.
        has_seal = any(block.get(key) for key in _SEALS)
        is_repeat = has_seal and text == text_in(last)
        for key, value in block.items():
            if key in _STREAMED and isinstance(value, str):
                if not is_repeat:
                    last[key] = (last.get(key) or "") + value
            elif value is not None and value != "":
                last[key] = value
        return "" if is_repeat else text


def _starts_new_block(last: dict[str, Any], block: dict[str, Any]) -> bool:
    """Whether a streamed block is not a further piece of the last one."""
    if any(last.get(key) != block.get(key) for key in ("type", "index")):
        return True
    if last.get("id") and block.get("id"):
        return bool(last["id"] != block["id"])
    is_sealed = any(last.get(key) for key in _SEALS)
    return is_sealed and bool(text_in(block) or block.get("data"))


def signed_block(text: str, signature: Any, *, redacted: Any = None) -> dict[str, Any] | None:
    """Return a block of Anthropic's for the field `SIGNED`; None for one without its seal.

    `redacted`: the data of a block whose text is encrypted.
    """
    if isinstance(signature, str) and signature:
        return {"type": "thinking", "thinking": text, "signature": signature}
    if isinstance(redacted, str) and redacted:
        return {"type": "redacted_thinking", "data": redacted}
    return None


class InlineThoughts:
    """Splits a text that begins with ``<think>…</think>``, as servers without a parser send it.

    `feed` takes the text in pieces, cut anywhere, and returns (text, reasoning).
    """

    __slots__ = ("_end", "_pending")

    def __init__(self) -> None:
        self._pending = ""
        self._end: str | None = None  # the closing tag, while the model thinks; "" after it

    def feed(self, piece: str) -> tuple[str, str]:
        if self._end == "" and not self._pending:
            return piece, ""
        self._pending += piece
        if self._end is None:
            start = self._pending.lstrip()
            tag = next((tag for tag in _THOUGHT_TAGS if start.startswith(tag)), None)
            if tag is None:
                if any(tag.startswith(start) for tag in _THOUGHT_TAGS):
                    return "", ""  # perhaps the beginning of a tag
                self._end = ""
                return self._take(len(self._pending)), ""
            self._pending = start[len(tag) :].lstrip()
            self._end = tag.replace("<", "</")
        if not self._end:
            return self._text_after(), ""
        thought, closing, rest = self._pending.partition(self._end)
        if closing:
            self._pending, self._end = rest, ""
            return self._text_after(), thought.rstrip()
        kept = len(self._pending) - _length_of_cut_tag(self._pending, self._end)
        return "", self._take(kept)

    def finish(self) -> tuple[str, str]:
        """Return what was kept because more could have followed."""
        text = self._take(len(self._pending))
        return ("", text) if self._end else (text if text.strip() else "", "")

    def _text_after(self) -> str:
        """Return the text after the closing tag, without the space before it."""
        self._pending = self._pending.lstrip()
        if not self._pending:
            self._pending = " "  # so that the next piece is stripped, too
            return ""
        return self._take(len(self._pending))

    def _take(self, length: int) -> str:
        taken, self._pending = self._pending[:length], self._pending[length:]
        return taken


_THOUGHT_TAGS = ("<think>", "<thinking>")
_OBJECT_STARTS = ("{", "[", '"', "`")


def _length_of_cut_tag(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)


def without_thoughts(text: str) -> str:
    """Return the text of an object without the thoughts before it.

    Some chat templates open ``<think>`` in the prompt, so that the answer has only its end.
    """
    if text.lstrip().startswith(_OBJECT_STARTS):
        return text
    for tag in _THOUGHT_TAGS:
        _, closing, rest = text.partition(tag.replace("<", "</"))
        if closing:
            return rest.lstrip()
    return text


def text_in(value: Any) -> str:
    """Return the text in a string, in a block of a known form, or in a list of these."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(text_in, value))
    if isinstance(value, dict):
        found = (text_in(value.get(name)) for name in _TEXTS_OF_BLOCKS)
        return next((text for text in found if text), "")
    return ""


_TEXTS_OF_BLOCKS = ("text", "thinking", "summary", "reasoning", "content", "value")
