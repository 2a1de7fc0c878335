"""What every tool here does alike: who is calling, what comes back when it fails."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field, ValidationError

from langchain_oxen.progress import ProgressRelay
from oxen_inference.tools import text as words
from oxen_inference.tools.calls import call_key, explain_validation, is_for_developers
from oxen_inference.tools.connection import Connection

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError

Answer = tuple[Any, Any]
"""What a tool run returns: content for the model, artifact for the program."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call as the model made it: validated arguments, and where it comes from."""

    arguments: Mapping[str, Any]
    tool_call_id: str | None
    thread_id: str | None = None
    conversation: str | None = None
    """Within which a repeated call joins a job whose result it did not get."""
    tell: Callable[[Any], Any] | None = None
    """Is told how it comes along; None for a call that is only looked at."""

    def of(self, arguments: Mapping[str, Any]) -> ToolRequest:
        """Return the same call with other arguments."""
        return replace(self, arguments=arguments)

    def key_for(self, model_id: str) -> str | None:
        """Return the exactly-once key; None outside a thread, where nothing can be resumed."""
        if self.thread_id is None or not self.tool_call_id:
            return None
        thread = f"langchain:{self.thread_id}"
        return call_key(thread, self.tool_call_id, model_id, self.arguments)


class OxenTool(BaseTool):
    """Base of the tools here. Subclasses do the work in `_call` and `_acall`.

    What the model can act on comes back as text with status ``error``: bad arguments, refusals,
    budgets, failures. What it cannot is raised: a missing or refused key, unusable settings, an
    unreadable ledger, bugs. ``handle_tool_error=False`` raises everything (`ToolException`).
    """

    connection: Any = Field(default_factory=Connection, exclude=True, repr=False)
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: bool | str | Callable[..., str] | None = explain_validation

    @abstractmethod
    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        """Do the work of one call. Raises `OxenError`."""

    @abstractmethod
    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        """Do the work of one call without blocking the running loop."""

    def _parse_input(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> str | dict[str, Any]:
        try:
            return super()._parse_input(tool_input, tool_call_id)
        except ValidationError as error:
            if self.handle_tool_error is False:
                raise ToolException(explain_validation(error)) from error
            raise

    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # The one place where a tool is told the id of its call: `InjectedToolCallId` would make
        # calls with plain arguments an error.
        if isinstance(tool_input, str):
            fields = getattr(self.args_schema, "model_fields", {})
            tool_input = {next(iter(fields), "prompt"): tool_input}
        _, arguments = super()._to_args_and_kwargs(tool_input, tool_call_id)
        return (), {"request": ToolRequest(arguments, tool_call_id)}

    def _run(
        self,
        request: Any,
        config: RunnableConfig,
        run_manager: CallbackManagerForToolRun,
    ) -> Answer:
        from oxen_inference.errors import OxenError

        relay = ProgressRelay(self.name, request.tool_call_id, config, run_manager)
        request = replace(self._placed(request, config), tell=relay.tell)
        try:
            return self._call(self.connection.sync(), request)
        except OxenError as error:
            message = self.refused(error, request)
            return message, message.artifact

    async def _arun(
        self,
        request: Any,
        config: RunnableConfig,
        run_manager: AsyncCallbackManagerForToolRun,
    ) -> Answer:
        client = await self.connection.running()
        from oxen_inference.errors import OxenError

        relay = ProgressRelay(self.name, request.tool_call_id, config, run_manager)
        request = replace(self._placed(request, config), tell=relay.atell)
        try:
            return await self._acall(client, request)
        except OxenError as error:
            message = self.refused(error, request)
            return message, message.artifact

    def _placed(self, request: ToolRequest, config: RunnableConfig) -> ToolRequest:
        thread_id = (config.get("configurable") or {}).get("thread_id")
        thread_id = None if thread_id is None else str(thread_id)
        return replace(
            request,
            thread_id=thread_id,
            conversation=f"langchain:{thread_id}" if thread_id else self.connection.session,
        )

    def placed(
        self, arguments: Mapping[str, Any], tool_call_id: str | None, config: RunnableConfig
    ) -> ToolRequest:
        """Return what a call by the model with these arguments, still unchecked, would be.

        Raises `ValueError` for arguments that do not fit.
        """
        given = self._parse_input(dict(arguments), tool_call_id)
        request = ToolRequest(given if isinstance(given, dict) else {}, tool_call_id)
        return self._placed(request, config)

    def refused(self, error: OxenError, request: ToolRequest) -> ToolMessage:
        """Return an error as something the model can act on, or raise it."""
        if is_for_developers(error):
            from langchain_oxen.errors import to_langchain

            raise to_langchain(error)
        text = words.explain(error)
        if self.handle_tool_error is not True or not request.tool_call_id:
            raise ToolException(text) from error
        # Built here because a `ToolException` cannot carry what was paid for all the same.
        return ToolMessage(
            text,
            artifact=words.references(getattr(error, "result", None)),
            tool_call_id=request.tool_call_id,
            name=self.name,
            status="error",
        )
