"""What every tool here has in common: which call it is, and what comes back when it fails."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field, ValidationError

from langchain_oxen.call_site import call_number, read_task
from langchain_oxen.costs import count_media, paid_costs
from langchain_oxen.progress import ProgressRelay
from langchain_oxen.tracing import trace_cost
from oxen_inference.tools import text
from oxen_inference.tools.calls import call_key, explain_validation, is_for_developers
from oxen_inference.tools.connection import Connection

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError

ContentAndArtifact = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call as the model made it: its arguments, validated, and where it comes from."""

    arguments: Mapping[str, Any]
    tool_call_id: str | None
    thread_id: str | None = None
    task: str | None = None
    """The task of the graph's node that makes the call."""
    number: int = 0
    """Which of the task's calls without a tool-call id and with the same arguments it is."""
    conversation: str | None = None
    """Within it, a repeated call joins a job whose result the first one did not get."""
    on_progress: Callable[[Any], Any] | None = None
    """Called with each `Progress`; None for a call that is only checked."""

    def with_arguments(self, arguments: Mapping[str, Any]) -> ToolRequest:
        return replace(self, arguments=arguments)

    def key_for(self, model_id: str) -> str | None:
        """Return the exactly-once key; None where nothing can run again: outside a graph."""
        thread = f"langchain:{self.thread_id or 'no thread'}"
        if self.thread_id is not None and self.tool_call_id:
            return call_key(thread, self.tool_call_id, model_id, self.arguments)
        if self.task is not None:
            call_id = self.tool_call_id or f"call {self.number}"
            return call_key(f"{thread}:{self.task}", call_id, model_id, self.arguments)
        return None


class OxenTool(BaseTool):
    """Base of the tools here. Subclasses do the work in `_call` and `_acall`.

    What the model can act on comes back as text with status ``error``: bad arguments, refusals,
    budgets, failures. Everything else is raised: a missing or refused key, unusable settings, an
    unreadable ledger, bugs. ``handle_tool_error=False`` raises everything (`ToolException`).
    """

    connection: Any = Field(default_factory=Connection, exclude=True, repr=False)
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: bool | str | Callable[..., str] | None = explain_validation

    @abstractmethod
    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        """Do the work of one call. Raises `OxenError`."""

    @abstractmethod
    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        """Do the work of one call without blocking the running loop."""

    def read_request(
        self, arguments: Mapping[str, Any], tool_call_id: str | None, config: RunnableConfig
    ) -> ToolRequest:
        """Return the request that a call with these unchecked arguments would be.

        Raises `ValueError` for arguments that do not fit the tool's schema.
        """
        parsed = self._parse_input(dict(arguments), tool_call_id)
        request = ToolRequest(parsed if isinstance(parsed, dict) else {}, tool_call_id)
        return self._with_thread(request, config)

    def error_message(self, error: OxenError, request: ToolRequest) -> ToolMessage:
        """Return an error as a message the model can act on, or raise it."""
        if is_for_developers(error):
            from langchain_oxen.errors import to_langchain

            raise to_langchain(error)
        content = text.explain(error)
        if self.handle_tool_error is not True or not request.tool_call_id:
            raise ToolException(content) from error
        # A `ToolException` could not carry what was paid for in spite of the error.
        return ToolMessage(
            content,
            artifact=text.references(getattr(error, "result", None)),
            tool_call_id=request.tool_call_id,
            name=self.name,
            status="error",
        )

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
        # LangChain passes the call's id only here. `InjectedToolCallId` would make calls with
        # plain arguments an error.
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
    ) -> ContentAndArtifact:
        from oxen_inference.errors import OxenError

        relay = ProgressRelay(self.name, request.tool_call_id, config, run_manager)
        request = replace(self._with_thread(request, config), on_progress=relay.send)
        try:
            with self._numbered(request, config) as numbered:
                content, artifact = self._call(self.connection.get_client(), numbered)
        except OxenError as error:
            content = self.error_message(error, request)
            artifact = content.artifact
        _count_costs(run_manager, artifact)
        return content, artifact

    async def _arun(
        self,
        request: Any,
        config: RunnableConfig,
        run_manager: AsyncCallbackManagerForToolRun,
    ) -> ContentAndArtifact:
        client = await self.connection.get_async_client()
        from oxen_inference.errors import OxenError

        relay = ProgressRelay(self.name, request.tool_call_id, config, run_manager)
        request = replace(self._with_thread(request, config), on_progress=relay.asend)
        try:
            with self._numbered(request, config) as numbered:
                content, artifact = await self._acall(client, numbered)
        except OxenError as error:
            content = self.error_message(error, request)
            artifact = content.artifact
        _count_costs(run_manager, artifact)
        return content, artifact

    @contextmanager
    def _numbered(self, request: ToolRequest, config: RunnableConfig) -> Iterator[ToolRequest]:
        if request.tool_call_id:
            yield request
            return
        same = json.dumps([self.name, request.arguments], sort_keys=True, default=str)
        with call_number(config, same) as number:
            yield replace(request, number=number)

    def _with_thread(self, request: ToolRequest, config: RunnableConfig) -> ToolRequest:
        thread_id = (config.get("configurable") or {}).get("thread_id")
        thread_id = None if thread_id is None else str(thread_id)
        return replace(
            request,
            thread_id=thread_id,
            task=read_task(config),
            conversation=f"langchain:{thread_id}" if thread_id else self.connection.session,
        )


def _count_costs(run_manager: Any, artifact: object) -> None:
    """Tell the run, and who counts its costs, what was paid for."""
    if costs := paid_costs(artifact):
        trace_cost(run_manager, sum(costs.values(), Decimal(0)), is_tool=True)
        count_media(run_manager, costs)
