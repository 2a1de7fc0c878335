"""A chat model that says what a test wrote down, whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class ScriptedChat(BaseChatModel):
    """Answers with `turns`, one for each answer of its own that the conversation already has.

    A turn is a text, or tool calls as ``(id, name, arguments)``. `cost` is what each answer says
    it cost. Without memory of its own, so that a resumed run goes on where it was.
    """

    turns: list[Any]
    cost: str | None = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        turn = self.turns[sum(isinstance(message, AIMessage) for message in messages)]
        about: dict[str, Any] = {"cost": self.cost} if self.cost else {}
        if isinstance(turn, str):
            message = AIMessage(turn, response_metadata=about)
        else:
            calls = [
                ToolCall(id=call_id, name=name, args=arguments, type="tool_call")
                for call_id, name, arguments in turn
            ]
            message = AIMessage("", tool_calls=calls, response_metadata=about)
        return ChatResult(generations=[ChatGeneration(message=message)])


def tool_messages(state: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]
