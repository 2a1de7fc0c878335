"""`OxenPromptCachingMiddleware`: marks what an agent sends again and again, so that Claude caches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, Literal

if find_spec("langchain") is None:
    raise ImportError(
        "OxenPromptCachingMiddleware needs langchain: pip install 'oxen-integrations[agents]'"
    )

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.tools import BaseTool

from langchain_oxen.chat_models import ChatOxen
from oxen_inference.chat.families import policy_for

_TTLS = ("5m", "1h")


class OxenPromptCachingMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts cache marks on the last tool and on the end of the conversation, for Claude models.

    They cover all that comes before them, the system message included, which Oxen takes as plain
    text without a mark of its own. Other models and other chat classes get what they would without
    it. It takes the settings of langchain-anthropic's `AnthropicPromptCachingMiddleware`, which
    acts on `ChatAnthropic` only: `ttl` is how long a prefix is kept, and a conversation of fewer
    than `min_messages_to_cache` messages gets no mark. Raises `InvalidInputError` for another `ttl`.
    """

    def __init__(self, *, ttl: Literal["5m", "1h"] = "5m", min_messages_to_cache: int = 0) -> None:
        super().__init__()
        if ttl not in _TTLS:
            from langchain_oxen.errors import InvalidInputError

            raise InvalidInputError(f'ttl must be "5m" or "1h", not {ttl!r}.')
        self._mark: dict[str, str] = {"type": "ephemeral"}
        if ttl != "5m":  # every provider's default
            self._mark["ttl"] = ttl
        self._fewest = min_messages_to_cache

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        return handler(self._marked(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        return await handler(self._marked(request))

    def _marked(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        model = request.model
        if not (isinstance(model, ChatOxen) and policy_for(model.model).caches_marked):
            return request
        if len(request.messages) + bool(request.system_message) < self._fewest:
            return request
        settings = {"cache_control": self._mark, **request.model_settings}
        tools = list(request.tools)
        if tools:
            tools[-1] = self._marked_tool(tools[-1])
        return request.override(model_settings=settings, tools=tools)

    def _marked_tool(self, tool: Any) -> Any:
        if isinstance(tool, BaseTool):
            extras = {"cache_control": self._mark, **(tool.extras or {})}
            return tool.model_copy(update={"extras": extras})
        return {"cache_control": self._mark, **tool}
