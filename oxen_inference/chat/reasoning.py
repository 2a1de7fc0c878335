"""Reasoning in the shapes providers give it: a string, content parts, or typed blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELDS = ("reasoning_details", "thinking_blocks")
"""Where providers put their reasoning blocks: OpenRouter's way, and LiteLLM's.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens
https://docs.litellm.ai/docs/reasoning_content
"""
_IN_PIECES = ("text", "summary", "thinking")
_SEALS = ("signature", "data")


class ReasoningBlocks:
    """Provider blocks (signed, encrypted, summarized) collected whole, to be sent back unchanged.

    A block's signature is of its text, so two blocks must not become one.
    """

    __slots__ = ("blocks", "field")

    def __init__(self) -> None:
        self.field = FIELDS[0]
        """The field that the blocks came in."""
        self.blocks: list[dict[str, Any]] = []

    def read(self, said: Mapping[str, Any], *, whole: bool) -> str:
        """Keep the blocks of a delta or a `whole` message; return the reasoning text that is new."""
        # Both fields are sent by upstreams that serve two dialects, with the same text.
        text: Any = said.get("reasoning_content") or said.get("reasoning")
        heard = known = ""
        for field in FIELDS:
            if given := said.get(field):
                self.field = field
                for block in given if isinstance(given, list) else []:
                    if isinstance(block, dict):
                        news = self._keep(block, whole=whole)
                        heard += news
                        known += "" if news else _block_text(block)
                break
        if isinstance(text, dict):
            text = _block_text(text)
        if isinstance(text, str) and text and text != known:
            return text  # the blocks repeat it
        return heard

    def _keep(self, block: dict[str, Any], *, whole: bool) -> str:
        """Add a block, or what it adds to the last one, and return its text that is new."""
        last = self.blocks[-1] if self.blocks else None
        if whole or last is None or _is_another(last, block):
            self.blocks.append(dict(block))
            return _block_text(block)
        said = _block_text(block)
        # LiteLLM has the whole text again beside the signature.
        has_seal = any(block.get(key) for key in _SEALS)
        repeated = has_seal and said == _block_text(last)
        for key, value in block.items():
            if key in _IN_PIECES and isinstance(value, str):
                if not repeated:
                    last[key] = (last.get(key) or "") + value
            elif value is not None and value != "":
                last[key] = value
        return "" if repeated else said


def _is_another(last: dict[str, Any], block: dict[str, Any]) -> bool:
    """Whether a streamed block is not a further piece of the last one."""
    if any(last.get(key) != block.get(key) for key in ("type", "index")):
        return True
    if last.get("id") and block.get("id"):
        return bool(last["id"] != block["id"])
    is_sealed = any(last.get(key) for key in _SEALS)
    return is_sealed and bool(_block_text(block) or block.get("data"))


def content_parts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning of content that came as a list of parts."""
    text, reasoning = "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict):
            if part.get("type") in ("thinking", "reasoning"):
                reasoning += _block_text(part)
            elif isinstance(part.get("text"), str):
                text += part["text"]
    return text, reasoning


def _block_text(block: dict[str, Any]) -> str:
    for key in ("text", "thinking", "summary", "reasoning", "content"):
        value = block.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return content_parts(value)[0]
    return ""
