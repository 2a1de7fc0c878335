"""`OxenBudgetMiddleware`: limits what a run of an agent spends, and asks before expensive calls."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from langchain_core.messages import AIMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import NotRequired

from langchain_oxen.approval import PricedCall, ask, digest, note_edit, refusal
from langchain_oxen.costs import is_charged_to, is_from_cache
from langchain_oxen.paid_calls import (
    PAID_TOOLS,
    PaidCall,
    PaidTool,
    apply_decision,
    paid_tool,
    read_call,
    read_unanswered,
    thread_id,
)
from langchain_oxen.unanswered import (
    UnansweredCall,
    closing_message,
    find_unanswered,
    insert_results,
)
from oxen_inference.locks import Lock
from oxen_inference.money import BudgetWarning
from oxen_inference.price_caps import PriceCaps, read_price_caps
from oxen_inference.tools.approval import needs_approval

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.ledger.budgets import USD, Budget
    from oxen_inference.ledger.store import Ledger
    from oxen_inference.result import MediaResult

_NO_CONFIG = RunnableConfig()
_MAX_CACHED = 1000  # budgets of runs; one that was dropped is read from the ledger again
ToolResponse = ToolMessage | Command[Any]


class OxenBudgetWarning(BudgetWarning):
    """A `BudgetWarning` of an agent's run."""


class BudgetState(AgentState[Any]):
    """The agent's state with its run's budget, and what a person is asked."""

    oxen_budget: NotRequired[Annotated[str, PrivateStateAttr]]
    oxen_questions: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]
    """By tool-call id: the calls of the last answer that a person is asked about."""
    oxen_decisions: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]
    """By tool-call id: what the person decided, and the price it was decided at."""
    oxen_results: NotRequired[Annotated[list[Any], PrivateStateAttr]]
    """Of earlier calls that nobody answered: message ids and results, not in the messages yet."""


class OxenBudgetMiddleware(AgentMiddleware[BudgetState, Any, Any]):
    """Keeps the spending of an agent within a limit, for media and chat.

    `limit` is in USD and applies to each run, across interrupts and restarts, or with
    ``per="thread"`` to a whole conversation. Or give a `budget`, which other code may share, or its
    amount in USD. Media calls reserve their price before they are sent. A chat answer is counted
    when its cost is known (``response_metadata["cost"]``, else ``"cost_estimate"``, else an
    `OxenBudgetWarning`; the higher one where an answer states another cost than the catalog's
    prices say), so one answer can exceed the limit and no further one is requested: the run ends
    with a message, or with ``on_exceeded="error"`` with a `BudgetExceededError`.

    A turn whose media calls cost more than `ask_above` USD, one of them or all together, or an
    unknown amount, waits for a person; 0 always asks. The interrupt has the shape of LangChain's
    `HumanInTheLoopMiddleware`, one for all calls of the turn, with each price and the sum. Answer
    it with ``Command(resume={"decisions": [...]})``, a decision for each call: ``{"type":
    "approve"}``, ``{"type": "reject", "message": "..."}`` or ``{"type": "edit", "edited_action":
    {"name": ..., "args": {...}}}``. An approved call cannot cost more than was shown. It needs a
    checkpointer. A new message instead of an answer closes the question: nothing is bought, and the
    model reads that there was no decision.

    `price_caps`: most USD that one generation may cost, by model id, for models without a usable
    price; of a `budget`, its own count.
    """

    state_schema = BudgetState

    def __init__(
        self,
        limit: Any = None,
        *,
        budget: Budget | USD | None = None,
        per: Literal["run", "thread"] = "run",
        ask_above: Any = None,
        on_exceeded: Literal["end", "error"] = "end",
        ledger: Ledger | None = None,
        price_caps: PriceCaps | None = None,
    ) -> None:
        from oxen_inference.errors import ConfigurationError
        from oxen_inference.ledger.budgets import as_budget, read_amount

        super().__init__()
        if (limit is None) == (budget is None):
            raise ConfigurationError("Give either a limit or a budget.")
        if budget is not None and price_caps is not None:
            raise ConfigurationError(
                "A budget has its own price caps.",
                hint="Give them to it: Budget(..., price_caps=...).",
            )
        if per not in ("run", "thread") or on_exceeded not in ("end", "error"):
            raise ConfigurationError(
                'per must be "run" or "thread", and on_exceeded must be "end" or "error".'
            )
        self._limit: Decimal | None = None if limit is None else read_amount(limit, "limit")
        self._ask_above = None if ask_above is None else read_amount(ask_above, "ask_above")
        self._budget = as_budget(budget)
        self._per = per
        self._on_exceeded = on_exceeded
        self._ledger = ledger
        self._price_caps = read_price_caps(price_caps)
        self._budgets: OrderedDict[str, Budget] = OrderedDict()
        self._lock = Lock()
        self._has_warned = False

    # The budget of a run

    def before_agent(
        self,
        state: BudgetState,  # noqa: ARG002 - a hook's signature
        runtime: Runtime[Any],
    ) -> dict[str, Any] | None:
        """Name the run's budget in the checkpoint, so that a resumed run uses the same one."""
        thread = thread_id(runtime) if self._per == "thread" else None
        if (
            thread is None
            and self._per == "thread"
            and self._budget is None
            and not self._has_warned
        ):
            self._has_warned = True
            warnings.warn(
                'per="thread" spans no runs here, since this one has no thread: the limit counts for '
                'each run. Invoke the agent with {"configurable": {"thread_id": ...}}.',
                OxenBudgetWarning,
                stacklevel=2,
            )
        return {"oxen_budget": f"thread:{thread}" if thread else f"run:{uuid.uuid4().hex}"}

    async def abefore_agent(
        self, state: BudgetState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        return self.before_agent(state, runtime)

    def budget_of(self, state: Mapping[str, Any]) -> Budget:
        """Return the budget that the run in this state spends from.

        `state`: ``agent.get_state(config).values``, which needs a checkpointer. Raises
        `ConfigurationError` for a state that names no budget, as what ``invoke`` returns.
        """
        if self._budget is not None:
            return self._budget
        assert self._limit is not None  # noqa: S101 - checked in the constructor
        named = state.get("oxen_budget") if isinstance(state, Mapping) else None
        if named is None:
            from oxen_inference.errors import ConfigurationError

            raise ConfigurationError(
                "This is not the state of a run with this middleware's budget. What invoke returns "
                "leaves the budget out.",
                hint="Pass agent.get_state(config).values, which needs a checkpointer. Or give the "
                "middleware budget=Budget(...), and read that.",
            )
        name = f"agent-{named}"
        with self._lock:
            if name not in self._budgets:
                self._budgets[name] = _open_budget(
                    self._limit, name, self._ledger, self._price_caps
                )
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
        from oxen_inference.chat.late_costs import write_late_costs

        budget = self.budget_of(state)
        write_late_costs(budget.account)
        if budget.remaining > 0:
            return None
        from langchain_oxen.errors import BudgetExceededError
        from oxen_inference.money import usd

        message = (
            f"The budget of {usd(budget.limit)} is used up: {usd(budget.spent)} spent, "
            f"{usd(budget.reserved)} reserved for unfinished generations."
        )
        if self._on_exceeded == "error":
            raise BudgetExceededError(message, hint="Raise the limit, or use another budget.")
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
        """Close what nobody answered, count the cost of the answer, and price the calls in it."""
        results = [
            (one.message_id, self._close(one, request, self._find_paid(one, request)))
            for one in find_unanswered(request.state.get("messages") or [])
        ]
        response = handler(_with_results(request, results))
        self._record_cost(request.state, response)
        calls = self._price_calls(request, response)
        if self._must_ask(calls):
            calls = [call for call in calls if self._is_open_to_question(call, request.state)]
        return self._with_questions(response, calls, results)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        results = [
            (one.message_id, self._close(one, request, await self._afind_paid(one, request)))
            for one in find_unanswered(request.state.get("messages") or [])
        ]
        response = await handler(_with_results(request, results))
        await asyncio.to_thread(self._record_cost, request.state, response)
        calls = await asyncio.to_thread(self._price_calls, request, response)
        if self._must_ask(calls):
            calls = [
                call for call in calls if await self._ais_open_to_question(call, request.state)
            ]
        return self._with_questions(response, calls, results)

    def _find_paid(
        self, one: UnansweredCall, request: ModelRequest[Any]
    ) -> MediaResult | Exception | None:
        """Return what was paid for with a call that nobody answered, or why that is not known."""
        from oxen_inference.errors import OxenError

        try:
            for tool, wanted in read_unanswered(one.call, request):
                if (job := tool.paid_job(wanted)) is not None:
                    return job
        except OxenError as error:
            return error
        return None

    async def _afind_paid(
        self, one: UnansweredCall, request: ModelRequest[Any]
    ) -> MediaResult | Exception | None:
        from oxen_inference.errors import OxenError

        try:
            for tool, wanted in read_unanswered(one.call, request):
                if (job := await tool.apaid_job(wanted)) is not None:
                    return job
        except OxenError as error:
            return error
        return None

    def _close(
        self,
        one: UnansweredCall,
        request: ModelRequest[Any],
        job: MediaResult | Exception | None,
    ) -> ToolMessage:
        call = one.call
        state: Mapping[str, Any] = request.state
        question = (state.get("oxen_questions") or {}).get(str(call["id"]))
        return closing_message(
            call,
            is_asked=question is not None and question["arguments"] == digest(call["args"]),
            is_paid_tool=paid_tool(call, request) is not None,
            job=job,
        )

    def _record_cost(self, state: Mapping[str, Any], response: ModelResponse[Any]) -> None:
        from oxen_inference.chat.answer import charged_cost
        from oxen_inference.chat.late_costs import write_cost

        for message in response.result:
            budget = self.budget_of(state)
            if is_from_cache(message) or is_charged_to(message, budget):
                continue
            metadata = message.response_metadata
            model_id = str(metadata.get("model_name") or "chat")
            cost = charged_cost(metadata)
            if cost:
                write_cost(budget.account, partial(budget.record, cost, model_id))
            elif cost is None and isinstance(message, AIMessage):
                warnings.warn(
                    f"The cost of an answer by {model_id} is not known: the budget does not count it.",
                    OxenBudgetWarning,
                    stacklevel=2,
                )

    # One question for the calls of a turn

    def after_model(
        self,
        state: BudgetState,
        runtime: Runtime[Any],  # noqa: ARG002 - a hook's signature
        config: RunnableConfig = _NO_CONFIG,
    ) -> dict[str, Any] | None:
        """Ask a person about the calls of the last answer. Raises `GraphInterrupt`.

        Calls before it that nobody answered get their results. LangGraph gives the `config`: on
        Python 3.10 no coroutine finds the one of its run.
        """
        update: dict[str, Any] = {}
        if results := state.get("oxen_results"):
            messages = insert_results(state["messages"], _by_call(results))
            update = {
                "messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *messages],
                "oxen_results": [],
            }
        questions = state.get("oxen_questions") or {}
        message = state["messages"][-1] if state["messages"] else None
        calls = [
            PricedCall.from_state(call, questions[str(call["id"])])
            for call in (message.tool_calls if isinstance(message, AIMessage) else ())
            if str(call["id"]) in questions
            and questions[str(call["id"])]["arguments"] == digest(call["args"])
        ]
        if not calls:
            if state.get("oxen_decisions"):
                update["oxen_decisions"] = {}
            return update or None
        _require_checkpointer(config)
        decisions = ask(calls, config, self.budget_of(state).remaining)
        kept = {
            str(each.call["id"]): {"decision": decision, **each.as_state()}
            for each, decision in zip(calls, decisions, strict=True)
        }
        return {**update, "oxen_decisions": kept}

    def _price_calls(
        self, request: ModelRequest[Any], response: ModelResponse[Any]
    ) -> list[PaidCall]:
        """Return the paid calls of an answer, whose arguments fit, with their prices."""
        if self._ask_above is None:
            return []
        tools = {tool.name: tool for tool in request.tools if isinstance(tool, PAID_TOOLS)}
        thread, budget = thread_id(request.runtime), self.budget_of(request.state)
        config = RunnableConfig(configurable={"thread_id": thread} if thread else {})
        found = []
        for message in response.result:
            for call in message.tool_calls if isinstance(message, AIMessage) else ():
                tool = tools.get(call["name"])
                if tool is not None and (candidate := read_call(tool, call, config, budget)):
                    found.append(candidate)
        return found

    def _must_ask(self, calls: list[PaidCall]) -> bool:
        """Whether a person must be asked: one call, or all of a turn together, cost too much."""
        if any(needs_approval(self._ask_above, each.quote) for each in calls):
            return True
        total = sum((each.quote.high or Decimal(0) for each in calls), Decimal(0))
        return self._ask_above is not None and total > self._ask_above

    def _is_open_to_question(self, call: PaidCall, state: Mapping[str, Any]) -> bool:
        """Whether a call is neither paid for already nor too expensive to be made."""
        from oxen_inference.errors import BudgetExceededError, OxenError

        try:
            if call.tool.paid_job(call.request) is not None:
                return False
            self._check_budget(call.tool, call.quote, state)
        except BudgetExceededError:
            return False  # the tool says so
        except OxenError:
            return True  # unknown, so a person is asked
        return True

    async def _ais_open_to_question(self, call: PaidCall, state: Mapping[str, Any]) -> bool:
        from oxen_inference.errors import BudgetExceededError, OxenError

        try:
            if await call.tool.apaid_job(call.request) is not None:
                return False
            await asyncio.to_thread(self._check_budget, call.tool, call.quote, state)
        except BudgetExceededError:
            return False
        except OxenError:
            return True
        return True

    def _with_questions(
        self,
        response: ModelResponse[Any],
        calls: list[PaidCall],
        results: list[tuple[str | None, ToolMessage]],
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Keep what is asked, and its prices, in the checkpoint before anybody is asked."""
        update: dict[str, Any] = {"oxen_results": results} if results else {}
        if self._ask_above is not None:
            asked = calls if self._must_ask(calls) else []
            update["oxen_questions"] = {
                str(each.call["id"]): PricedCall.of(each.call, each.quote).as_state()
                for each in asked
            }
        if not update:
            return response
        return ExtendedModelResponse(model_response=response, command=Command(update=update))

    # Media

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResponse]
    ) -> ToolResponse:
        """Pay a media call from the budget, as a person decided about it.

        A call that nobody was asked about yet, although it needs approval, is asked about here.
        Nobody is asked about one that joins a job that is paid for already, nor about one that
        exceeds the budget, which the model reads as an error.
        """
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, PAID_TOOLS):
            return handler(request)
        paid = request.override(tool=tool.with_budget(self.budget_of(request.state)))
        pending = self._pending_call(tool, request)
        if pending is None:
            return handler(paid)
        is_paid = False
        try:
            is_paid = tool.paid_job(pending.request) is not None
            if not is_paid and pending.decision is None:
                self._check_budget(tool, pending.quote, request.state)
        except BudgetExceededError as error:
            if pending.decision is None:
                return tool.error_message(error, pending.request)
        except OxenError:
            pass  # unknown, so a person decides
        if is_paid and pending.decision is None:
            return handler(paid)
        approved = apply_decision(paid, tool, pending)
        if isinstance(approved, Mapping):
            return refusal(request.tool_call, approved, is_paid=is_paid)
        return note_edit(handler(approved), approved.tool_call["args"], request.tool_call)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolResponse]],
    ) -> ToolResponse:
        from oxen_inference.errors import BudgetExceededError, OxenError

        tool = request.tool
        if not isinstance(tool, PAID_TOOLS):
            return await handler(request)
        budget = await asyncio.to_thread(self.budget_of, request.state)
        paid = request.override(tool=tool.with_budget(budget))
        pending = await asyncio.to_thread(self._pending_call, tool, request)
        if pending is None:
            return await handler(paid)
        is_paid = False
        try:
            is_paid = await tool.apaid_job(pending.request) is not None
            if not is_paid and pending.decision is None:
                await asyncio.to_thread(self._check_budget, tool, pending.quote, request.state)
        except BudgetExceededError as error:
            if pending.decision is None:
                return tool.error_message(error, pending.request)
        except OxenError:
            pass
        if is_paid and pending.decision is None:
            return await handler(paid)
        approved = apply_decision(paid, tool, pending)
        if isinstance(approved, Mapping):
            return refusal(request.tool_call, approved, is_paid=is_paid)
        return note_edit(await handler(approved), approved.tool_call["args"], request.tool_call)

    def _pending_call(self, tool: PaidTool, request: ToolCallRequest) -> PaidCall | None:
        """Return the call with a person's decision, or that needs one; None for any other."""
        if self._ask_above is None:
            return None
        call = request.tool_call
        budget = self.budget_of(request.state)
        candidate = read_call(tool, call, request.runtime.config, budget)
        if candidate is None:
            return None  # the tool will report the bad arguments; nothing is paid
        kept = (request.state.get("oxen_decisions") or {}).get(str(call["id"]))
        if kept and kept["arguments"] == digest(call["args"]):
            priced = PricedCall.from_state(call, kept)
            return candidate._replace(decision=kept["decision"], approved=priced)
        if not needs_approval(self._ask_above, candidate.quote):
            return None
        _require_checkpointer(request.runtime.config)
        return candidate

    def _check_budget(self, tool: PaidTool, quote: Quote, state: Mapping[str, Any]) -> None:
        """Raise `BudgetExceededError` for a call that is too expensive to ask about."""
        if quote.high is not None and tool.handle_tool_error is True:
            self.budget_of(state).check(quote.high)


def _by_call(results: Iterable[Any]) -> dict[tuple[str | None, str | None], ToolMessage]:
    return {(message_id, result.tool_call_id): result for message_id, result in results}


def _with_results(request: ModelRequest[Any], results: Sequence[Any]) -> ModelRequest[Any]:
    if not results:
        return request
    return request.override(messages=insert_results(request.messages, _by_call(results)))


def _require_checkpointer(config: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` where an interrupt could never be resumed."""
    from oxen_inference.errors import ConfigurationError

    # LangGraph tells its tasks (`langgraph._internal._constants.CONFIG_KEY_CHECKPOINTER`).
    if (config.get("configurable") or {}).get("__pregel_checkpointer", True) is None:
        raise ConfigurationError(
            "ask_above asks a person by an interrupt, and an agent without a checkpointer "
            "cannot be resumed: create_agent(..., checkpointer=InMemorySaver())."
        )


def _open_budget(limit: Decimal, name: str, ledger: Ledger | None, price_caps: PriceCaps) -> Budget:
    """Return a run's budget, kept in the ledger, or in this process if no ledger is durable."""
    from oxen_inference.ledger.budgets import Budget, RunBudget
    from oxen_inference.ledger.names import shortened
    from oxen_inference.ledger.store import default_ledger

    name = shortened(name)
    if ledger is not None:
        kept_in: dict[str, Any] = {"name": name, "ledger": ledger} if ledger.durable else {}
        return Budget(limit, price_caps=price_caps, **kept_in)
    default = default_ledger()
    if default.durable:
        return RunBudget(limit, name=name, ledger=default, price_caps=price_caps)
    return Budget(limit, price_caps=price_caps)
