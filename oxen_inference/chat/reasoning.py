"""Reasoning in the shapes providers give it: a string, content parts, or typed blocks."""

from __future__ import annotations

from typing import Any


class ReasoningDetails:
    """Provider blocks (signed, encrypted, summarised) collected whole, to be sent back unchanged.

    https://openrouter.ai/docs/guides/best-practices/reasoning-tokens describes
    ``reasoning_details``; ``thinking_blocks`` is the same thing in Anthropic's terms.
    """

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []

    def read(self, text: Any, details: Any) -> str:
        """Keep the blocks, and return the reasoning text that is new in this chunk."""
        said = ""
        for block in details if isinstance(details, list) else []:
            if isinstance(block, dict):
                self._keep(block)
                said += _block_text(block)
        if isinstance(text, str):
            return text  # the blocks repeat it
        if isinstance(text, dict):
            return _block_text(text) or said
        return said

    def _keep(self, block: dict[str, Any]) -> None:
        last = self.blocks[-1] if self.blocks else None
        same = (
            last is not None
            and last.get("type") == block.get("type")
            and (last.get("index") == block.get("index"))
        )
        if not same or last is None:
            self.blocks.append(dict(block))
            return
        for key, value in block.items():
            if key in ("text", "summary", "thinking", "data") and isinstance(value, str):
                last[key] = (last.get(key) or "") + value
            elif value is not None:
                last[key] = value


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
