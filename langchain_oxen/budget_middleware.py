"""`OxenBudgetMiddleware`: a limit on what a run of an agent spends, and a person's say in it."""

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

from langchain_oxen.approval import ask, noted
from langchain_oxen.job_tools import OxenSubmitTool
from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import ToolRequest

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.store import Ledger

_PAID_TOOLS = (OxenMediaTool, OxenSubmitTool)
_MOST_KEPT = 1000  # budgets of runs; one that is asked for later is read from the ledger again
ToolAnswer = ToolMessage | Command[Any]


class OxenBudgetWarning(UserWarning):
    """Something that cost money could not be counted."""


class BudgetState(AgentState[Any]):
    """The agent's state, and what the budget of its run is called."""

    oxen_budget: NotRequired[Annotated[str, PrivateStateAttr]]


class OxenBudgetMiddleware(AgentMiddleware[BudgetState, Any, Any]):
    """Keeps the spending of an agent within a limit, media and chat together.

    `limit` USD are for each run, counted on across interrupts and restarts, or with
    ``per="thread"`` for a whole conversation; or give a `budget` of your own, which may be shared
    with anything else. Media calls are paid from it by reservation, before they are sent; chat
    answers count as their cost becomes known (``response_metadata["cost"]``, else
    ``"cost_estimate"``; an `OxenBudgetWarning` where there is neither), so that the one answer
    under way can exceed it, and the next is not asked for: the run ends with a message, or with
    ``on_exceeded="error"`` a `BudgetExceededError`.

    `ask_above` USD (or where the price is unknown) a media call waits for a person: an interrupt
    with the price in it, of the form of LangChain's per-call approvals, answered with
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
            raise ConfigurationError("Give a limit or a budget, one of the two.")
        if per not in ("run", "thread") or on_exceeded not in ("end", "error"):
            raise ConfigurationError('per is "run" or "thread"; on_exceeded is "end" or "error".')
        self._limit: Decimal | None = None if limit is None else read_amount(limit, "limit")
        self._ask_above = None if ask_above is None else read_amount(ask_above, "ask_above")
        self._budget = budget
        self._per = per
        self._on_exceeded = on_exceeded
        self._ledger = ledger
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ which budget

    def before_agent(
        self,
        state: BudgetState,  # noqa: ARG002 - a hook's signature
        runtime: Runtime[Any],
    ) -> dict[str, Any] | None:
        """Name the run's budget in the checkpoint, so that a resumed run spends from the same."""
        about = getattr(runtime, "execution_info", None)
        thread = getattr(about, "thread_id", None) if self._per == "thread" else None
        return {"oxen_budget": f"thread:{thread}" if thread else f"run:{uuid.uuid4().hex}"}

    async def abefore_agent(
        self, state: BudgetState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        return self.before_agent(state, runtime)

    def budget_of(self, state: Mapping[str, Any]) -> Budget:
        """Return the budget that the run in this state spends from."""
        if self._budget is not None:
            return self._budget
        assert self._limit is not None  # noqa: S101 - one of the two was given
        name = f"agent-{state['oxen_budget']}"
        with self._lock:
            if name not in self._budgets:
                self._budgets[name] = _opened(self._limit, name, self._ledger)
                while len(self._budgets) > _MOST_KEPT:
                    self._budgets.popitem(last=False)
            self._budgets.move_to_end(name)
            return self._budgets[name]

    # ------------------------------------------------------------------ chat

    @hook_config(can_jump_to=["end"])
    def before_model(
        self,
        state: BudgetState,
        runtime: Runtime[Any],  # noqa: ARG002 - a hook's signature
    ) -> dict[str, Any] | None:
        """End the run where nothing is left, before the model is asked again."""
        budget = self.budget_of(state)
        if budget.remaining > 0:
            return None
        from oxen_inference.errors import BudgetExceededError
        from oxen_inference.money import usd

        said = (
            f"The budget of {usd(budget.limit)} is used up: {usd(budget.spent)} spent, "
            f"{usd(budget.reserved)} reserved for what is not finished."
        )
        if self._on_exceeded == "error":
            raise BudgetExceededError(said)
        return {"jump_to": "end", "messages": [AIMessage(said)]}

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
        """Count what an answer cost, as soon as it is there."""
        response = handler(request)
        self._count(request.state, response)
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        response = await handler(request)
        await asyncio.to_thread(self._count, request.state, response)
        return response

    def _count(self, state: Mapping[str, Any], response: ModelResponse[Any]) -> None:
        for message in response.result:
            about = message.response_metadata
            what = str(about.get("model_name") or "chat")
            cost = about.get("cost", about.get("cost_estimate"))
            if cost is not None and Decimal(str(cost)) > 0:
                self.budget_of(state).record(Decimal(str(cost)), what)
            elif cost is None and isinstance(message, AIMessage):
                warnings.warn(
                    f"What an answer of {what} cost is not known: the budget does not count it.",
                    OxenBudgetWarning,
                    stacklevel=2,
                )

    # ------------------------------------------------------------------ media

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolAnswer]
    ) -> ToolAnswer:
        """Let a media call be paid from the budget, after a person agreed where one is to.

        Nobody is asked about a call that attaches to a job that is paid for already, nor about
        one that does not fit the limit, which the model is told.
        """
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, _PAID_TOOLS):
            return handler(request)
        paid = request.override(tool=tool.paid_from(self.budget_of(request.state)))
        dear = self._dear(tool, request)
        if dear is None:
            return handler(paid)
        try:
            is_begun = tool.is_begun(dear.call)
            if not is_begun:
                self._check(tool, request, dear)
        except BudgetExceededError as error:
            return tool.refused(error, dear.call)
        except OxenError:
            is_begun = False  # whether it is paid for cannot be told: a person is asked
        if is_begun:
            return handler(paid)
        agreed = ask(paid, dear.price)
        return agreed if isinstance(agreed, ToolMessage) else noted(handler(agreed), agreed, paid)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolAnswer]],
    ) -> ToolAnswer:
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, _PAID_TOOLS):
            return await handler(request)
        budget = await asyncio.to_thread(self.budget_of, request.state)
        paid = request.override(tool=tool.paid_from(budget))
        dear = self._dear(tool, request)
        if dear is None:
            return await handler(paid)
        try:
            is_begun = await tool.ais_begun(dear.call)
            if not is_begun:
                await asyncio.to_thread(self._check, tool, request, dear)
        except BudgetExceededError as error:
            return tool.refused(error, dear.call)
        except OxenError:
            is_begun = False
        if is_begun:
            return await handler(paid)
        agreed = ask(paid, dear.price)
        if isinstance(agreed, ToolMessage):
            return agreed
        return noted(await handler(agreed), agreed, paid)

    def _must_be_resumable(self, config: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` where a question would end the run for good."""
        from oxen_inference.errors import ConfigurationError

        # LangGraph tells its tasks so (`langgraph._internal._constants.CONFIG_KEY_CHECKPOINTER`).
        if (config.get("configurable") or {}).get("__pregel_checkpointer", True) is None:
            raise ConfigurationError(
                "ask_above asks a person by an interrupt, and an agent without a checkpointer "
                "cannot be resumed: create_agent(..., checkpointer=InMemorySaver())."
            )

    def _dear(self, tool: OxenMediaTool | OxenSubmitTool, request: ToolCallRequest) -> _Dear | None:
        """Return a call that a person is to be asked about; None for all others."""
        if self._ask_above is None:
            return None
        call = request.tool_call
        try:
            placed = tool.placed(call["args"], call["id"], request.runtime.config)
            quote = tool.quote(call["args"])
        except (ValueError, TypeError):
            return None  # the tool will say what is wrong; nothing will be paid
        if quote.high is not None and quote.high <= self._ask_above:
            return None
        self._must_be_resumable(request.runtime.config)
        return _Dear(placed, quote)

    def _check(
        self, tool: OxenMediaTool | OxenSubmitTool, request: ToolCallRequest, dear: _Dear
    ) -> None:
        """Raise `BudgetExceededError` for a call that does not fit: nobody need be asked."""
        if dear.price.high is not None and tool.handle_tool_error is True:
            self.budget_of(request.state).check(dear.price.high)


def _opened(limit: Decimal, name: str, ledger: Ledger | None) -> Budget:
    """Return a run's budget: in the ledger, or where none lasts, in this process alone."""
    from oxen_inference.ledger.budgets import Budget, RunBudget
    from oxen_inference.ledger.store import default_ledger

    if ledger is not None:
        return Budget(limit, name=name, ledger=ledger) if ledger.durable else Budget(limit)
    default = default_ledger()
    return RunBudget(limit, name=name, ledger=default) if default.durable else Budget(limit)


class _Dear(NamedTuple):
    call: ToolRequest
    price: Quote
