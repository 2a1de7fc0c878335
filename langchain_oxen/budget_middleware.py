"""`OxenBudgetMiddleware`: limits what a run of an agent spends, and asks before expensive calls."""

from __future__ import annotations

import asyncio
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

if find_spec("langchain") is None or find_spec("langgraph") is None:
    raise ImportError(
        "OxenBudgetMiddleware needs langchain: pip install 'oxen-integrations[agents]'"
    )

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    ToolCallRequest,
    hook_config,
)
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import NotRequired

from langchain_oxen.approval import note_edit, request_approval
from langchain_oxen.costs import is_from_cache
from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import ToolRequest
from langchain_oxen.toolkit import OxenSubmitTool

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.store import Ledger

_PAID_TOOLS = (OxenMediaTool, OxenSubmitTool)
_MAX_CACHED = 1000  # budgets of runs; one that was dropped is read from the ledger again
ToolResponse = ToolMessage | Command[Any]


class OxenBudgetWarning(UserWarning):
    """Something that cost money could not be counted."""


class BudgetState(AgentState[Any]):
    """The agent's state with the name of its run's budget."""

    oxen_budget: NotRequired[Annotated[str, PrivateStateAttr]]


class OxenBudgetMiddleware(AgentMiddleware[BudgetState, Any, Any]):
    """Keeps the spending of an agent within a limit, for media and chat.

    `limit` is in USD and applies to each run, across interrupts and restarts, or with
    ``per="thread"`` to a whole conversation. Or give a `budget`, which other code may share. Media
    calls reserve their price before they are sent. A chat answer is counted when its cost is known
    (``response_metadata["cost"]``, else ``"cost_estimate"``, else an `OxenBudgetWarning`; the
    higher one where an answer states another cost than the catalog's prices say), so one
    answer can exceed the limit and no further one is requested: the run ends with a message, or
    with ``on_exceeded="error"`` with a `BudgetExceededError`.

    A media call that costs more than `ask_above` USD, or an unknown amount, waits for a person: an
    interrupt like LangChain's per-call approvals, with the price. Answer it with
    ``Command(resume={"type": "approve"})``, ``{"type": "reject", "message": "..."}`` or
    ``{"type": "edit", "edited_action": {"name": ..., "args": {...}}}``. It needs a checkpointer.
    """

    state_schema = BudgetState

    def __init__(
        self,
        limit: Any = None,
        *,
        budget: Budget | None = None,
        per: Literal["run", "thread"] = "run",
        ask_above: Any = None,
        on_exceeded: Literal["end", "error"] = "end",
        ledger: Ledger | None = None,
    ) -> None:
        from oxen_inference.errors import ConfigurationError
        from oxen_inference.ledger.budgets import read_amount

        super().__init__()
        if (limit is None) == (budget is None):
            raise ConfigurationError("Give either a limit or a budget.")
        if per not in ("run", "thread") or on_exceeded not in ("end", "error"):
            raise ConfigurationError(
                'per must be "run" or "thread", and on_exceeded must be "end" or "error".'
            )
        self._limit: Decimal | None = None if limit is None else read_amount(limit, "limit")
        self._ask_above = None if ask_above is None else read_amount(ask_above, "ask_above")
        self._budget = budget
        self._per = per
        self._on_exceeded = on_exceeded
        self._ledger = ledger
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self._lock = threading.Lock()

    # The budget of a run

    def before_agent(
        self,
        state: BudgetState,  # noqa: ARG002 - a hook's signature
        runtime: Runtime[Any],
    ) -> dict[str, Any] | None:
        """Name the run's budget in the checkpoint, so that a resumed run uses the same one."""
        info = getattr(runtime, "execution_info", None)
        thread = getattr(info, "thread_id", None) if self._per == "thread" else None
        return {"oxen_budget": f"thread:{thread}" if thread else f"run:{uuid.uuid4().hex}"}

    async def abefore_agent(
        self, state: BudgetState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        return self.before_agent(state, runtime)

    def budget_of(self, state: Mapping[str, Any]) -> Budget:
        """Return the budget that the run in this state spends from."""
        if self._budget is not None:
            return self._budget
        assert self._limit is not None  # noqa: S101 - checked in the constructor
        name = f"agent-{state['oxen_budget']}"
        with self._lock:
            if name not in self._budgets:
                self._budgets[name] = _open_budget(self._limit, name, self._ledger)
                while len(self._budgets) > _MAX_CACHED:
                    self._budgets.popitem(last=False)
            self._budgets.move_to_end(name)
            return self._budgets[name]

    # Chat

    @hook_config(can_jump_to=["end"])
    def before_model(
        self,
        state: BudgetState,
        runtime: Runtime[Any],  # noqa: ARG002 - a hook's signature
    ) -> dict[str, Any] | None:
        """End the run before the next model call if nothing is left."""
        budget = self.budget_of(state)
        if budget.remaining > 0:
            return None
        from oxen_inference.errors import BudgetExceededError
        from oxen_inference.money import usd

        message = (
            f"The budget of {usd(budget.limit)} is used up: {usd(budget.spent)} spent, "
            f"{usd(budget.reserved)} reserved for unfinished generations."
        )
        if self._on_exceeded == "error":
            raise BudgetExceededError(message)
        return {"jump_to": "end", "messages": [AIMessage(message)]}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(
        self, state: BudgetState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        return await asyncio.to_thread(self.before_model, state, runtime)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        """Count the cost of an answer when it arrives."""
        response = handler(request)
        self._record_cost(request.state, response)
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        response = await handler(request)
        await asyncio.to_thread(self._record_cost, request.state, response)
        return response

    def _record_cost(self, state: Mapping[str, Any], response: ModelResponse[Any]) -> None:
        from oxen_inference.chat.answer import charged_cost

        for message in response.result:
            if is_from_cache(message):
                continue
            metadata = message.response_metadata
            model_id = str(metadata.get("model_name") or "chat")
            cost = charged_cost(metadata)
            if cost:
                self.budget_of(state).record(cost, model_id)
            elif cost is None and isinstance(message, AIMessage):
                warnings.warn(
                    f"The cost of an answer by {model_id} is not known: the budget does not count it.",
                    OxenBudgetWarning,
                    stacklevel=2,
                )

    # Media

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResponse]
    ) -> ToolResponse:
        """Pay a media call from the budget, after asking a person where one must approve it.

        Nobody is asked about a call that joins a job that is paid for already, nor about one that
        exceeds the budget, which the model reads as an error.
        """
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, _PAID_TOOLS):
            return handler(request)
        paid = request.override(tool=tool.with_budget(self.budget_of(request.state)))
        pending = self._needs_approval(tool, request)
        if pending is None:
            return handler(paid)
        try:
            is_paid = tool.joins_paid_job(pending.request)
            if not is_paid:
                self._check_budget(tool, request, pending)
        except BudgetExceededError as error:
            return tool.error_message(error, pending.request)
        except OxenError:
            is_paid = False  # unknown, so a person is asked
        if is_paid:
            return handler(paid)
        approved = request_approval(paid, pending.quote)
        if isinstance(approved, ToolMessage):
            return approved
        return note_edit(handler(approved), approved, paid)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolResponse]],
    ) -> ToolResponse:
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, _PAID_TOOLS):
            return await handler(request)
        budget = await asyncio.to_thread(self.budget_of, request.state)
        paid = request.override(tool=tool.with_budget(budget))
        pending = self._needs_approval(tool, request)
        if pending is None:
            return await handler(paid)
        try:
            is_paid = await tool.ajoins_paid_job(pending.request)
            if not is_paid:
                await asyncio.to_thread(self._check_budget, tool, request, pending)
        except BudgetExceededError as error:
            return tool.error_message(error, pending.request)
        except OxenError:
            is_paid = False
        if is_paid:
            return await handler(paid)
        approved = request_approval(paid, pending.quote)
        if isinstance(approved, ToolMessage):
            return approved
        return note_edit(await handler(approved), approved, paid)

    def _needs_approval(
        self, tool: OxenMediaTool | OxenSubmitTool, request: ToolCallRequest
    ) -> NeedsApproval | None:
        """Return the call if a person must approve it, else None."""
        if self._ask_above is None:
            return None
        call = request.tool_call
        try:
            tool_request = tool.read_request(call["args"], call["id"], request.runtime.config)
            quote = tool.quote(call["args"])
        except (ValueError, TypeError):
            return None  # the tool will report the bad arguments; nothing is paid
        if quote.high is not None and quote.high <= self._ask_above:
            return None
        _require_checkpointer(request.runtime.config)
        return NeedsApproval(tool_request, quote)

    def _check_budget(
        self,
        tool: OxenMediaTool | OxenSubmitTool,
        request: ToolCallRequest,
        pending: NeedsApproval,
    ) -> None:
        """Raise `BudgetExceededError` for a call that is too expensive to ask about."""
        if pending.quote.high is not None and tool.handle_tool_error is True:
            self.budget_of(request.state).check(pending.quote.high)


class NeedsApproval(NamedTuple):
    """A call that a person must approve, and its price."""

    request: ToolRequest
    quote: Quote


def _require_checkpointer(config: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` where an interrupt could never be resumed."""
    from oxen_inference.errors import ConfigurationError

    # LangGraph tells its tasks (`langgraph._internal._constants.CONFIG_KEY_CHECKPOINTER`).
    if (config.get("configurable") or {}).get("__pregel_checkpointer", True) is None:
        raise ConfigurationError(
            "ask_above asks a person by an interrupt, and an agent without a checkpointer "
            "cannot be resumed: create_agent(..., checkpointer=InMemorySaver())."
        )


def _open_budget(limit: Decimal, name: str, ledger: Ledger | None) -> Budget:
    """Return a run's budget, kept in the ledger, or in this process if no ledger is durable."""
    from oxen_inference.ledger.budgets import Budget, RunBudget
    from oxen_inference.ledger.store import default_ledger

    if ledger is not None:
        return Budget(limit, name=name, ledger=ledger) if ledger.durable else Budget(limit)
    default = default_ledger()
    return RunBudget(limit, name=name, ledger=default) if default.durable else Budget(limit)
