"""What differs between model families behind the one API, as rows of data."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Replay = Literal["never", "turn", "always"]
"""Which earlier reasoning is sent back to the model: none, that of the tool calls since the last
user message, or all."""
ReplaySetting = Literal["auto", "never", "turn", "always"]
"""`Replay` as a developer sets it: ``"auto"`` is what the model's family needs."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the models of a family require of a request."""

    reasoning_text: Replay = "never"
    """Reasoning as plain text, in ``reasoning_content``."""
    reasoning_blocks: Replay = "turn"
    """The provider's own signed or encrypted blocks, in the field in which they came."""
    json_schema: bool = True
    """Whether ``response_format`` of type json_schema is known to work."""


_POLICIES: tuple[tuple[str, Policy], ...] = (
    # R1's API refuses input with reasoning; later DeepSeek models refuse a tool turn without it
    # (https://api-docs.deepseek.com/guides/thinking_mode).
    (r"deepseek-(?:ai-)?r1", Policy(reasoning_blocks="never", json_schema=False)),
    (r"deepseek", Policy(reasoning_text="turn", json_schema=False)),
    # https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
    (r"kimi", Policy(reasoning_text="turn")),
    # https://platform.minimax.io/docs/guides/text-m2-function-call
    (r"minimax", Policy(reasoning_text="always")),
    # https://docs.z.ai/guides/capabilities/thinking-mode
    (r"glm", Policy(reasoning_text="turn", json_schema=False)),
    # https://cookbook.openai.com/articles/gpt-oss/handle-raw-cot
    (r"gpt-oss", Policy(reasoning_text="turn")),
)
_DEFAULT = Policy()


def policy_for(model: str, replay: ReplaySetting = "auto") -> Policy:
    """Return the policy of a model's family, which is found by the model's id.

    A `replay` other than ``"auto"`` overrides what the family needs.
    """
    name = model.lower().rpartition("/")[2]
    policy = next((policy for pattern, policy in _POLICIES if re.match(pattern, name)), _DEFAULT)
    if replay == "auto":
        return policy
    return replace(policy, reasoning_text=replay, reasoning_blocks=replay)
