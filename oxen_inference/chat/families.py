"""What differs between model families behind the one API, as rows of data."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from oxen_inference.chat.names import CallIds

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
    signed_thinking: bool = False
    """Whether Anthropic's signed blocks may also come from another integration: they are sent in
    ``thinking_blocks``, as `reasoning_blocks` says."""
    before_text: tuple[str, ...] = ("audio_url",)
    """Types of parts that come before the text of their message (https://docs.oxen.ai asks it for
    audio). All others stay where the author put them."""
    call_ids: CallIds = "common"
    """The form of the ids of tool calls."""
    parallel_tool_calls: bool = False
    """Whether the parameter of that name is known to be taken."""
    max_tokens: str = "max_tokens"
    """The name of the limit of an answer's tokens."""
    forces_tools_while_thinking: bool | None = None
    """Whether a tool can be forced while the model thinks. None: not if ``thinking`` is set."""
    caches_marked: bool = False
    """Whether a prefix is cached by a ``cache_control`` mark at its end."""
    takes_empty: bool = True
    """Whether a conversation may consist of empty messages, or of a system message alone."""


_CLAUDE = Policy(
    signed_thinking=True,
    parallel_tool_calls=True,
    forces_tools_while_thinking=False,
    caches_marked=True,
    takes_empty=False,  # https://docs.claude.com/en/api/messages
)
_GPT = Policy(parallel_tool_calls=True, forces_tools_while_thinking=True)
_POLICIES: tuple[tuple[str, Policy], ...] = (
    # R1's API refuses input with reasoning; later DeepSeek models refuse a tool turn without it
    # (https://api-docs.deepseek.com/guides/thinking_mode).
    (r"deepseek-(?:ai-)?r1", Policy(reasoning_blocks="never", forces_tools_while_thinking=False)),
    (r"deepseek", Policy(reasoning_text="turn", forces_tools_while_thinking=False)),
    # https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
    # https://github.com/MoonshotAI/Kimi-K2/blob/main/docs/tool_call_guidance.md
    (r"kimi", Policy("turn", call_ids="kimi", forces_tools_while_thinking=False)),
    # https://platform.minimax.io/docs/guides/text-m2-function-call
    (r"minimax", Policy(reasoning_text="always")),
    # https://docs.z.ai/guides/capabilities/thinking-mode
    (r"glm", Policy(reasoning_text="turn", forces_tools_while_thinking=False)),
    # https://cookbook.openai.com/articles/gpt-oss/handle-raw-cot
    (r"gpt-oss", Policy(reasoning_text="turn")),
    # https://platform.openai.com/docs/guides/reasoning
    (r"o[1-9](?![a-z0-9])", Policy(max_tokens="max_completion_tokens", forces_tools_while_thinking=True)),
    (r"gpt-5(?!.*chat)", replace(_GPT, max_tokens="max_completion_tokens")),
    (r"gpt|chatgpt", _GPT),
    # https://docs.claude.com/en/docs/build-with-claude/extended-thinking
    (r"claude", _CLAUDE),
    # https://docs.mistral.ai/capabilities/function_calling
    (
        r"(?:open-)?mi[sx]tral|ministral|magistral|codestral|devstral|pixtral",
        Policy(call_ids="mistral", parallel_tool_calls=True),
    ),
    # https://help.aliyun.com/zh/model-studio/qwen-function-calling
    (r"qwen|qwq|qvq", Policy(parallel_tool_calls=True, forces_tools_while_thinking=False)),
)  # fmt: skip
_DEFAULT = Policy()


def policy_for(model: str, replay: ReplaySetting = "auto") -> Policy:
    """Return the policy of a model's family, which is found by the model's id.

    The family may stand after a vendor's name: ``moonshotai-kimi-k2-5``. A `replay` other than
    ``"auto"`` overrides what the family needs.
    """
    policy = _family_policy(model)
    if replay == "auto":
        return policy
    return replace(policy, reasoning_text=replay, reasoning_blocks=replay)


@lru_cache(maxsize=1000)
def _family_policy(model: str) -> Policy:
    name = model.lower()
    return next(
        (
            policy
            for pattern, policy in _POLICIES
            if re.search(rf"(?:^|[-/_:.@])(?:{pattern})", name)
        ),
        _DEFAULT,
    )
