"""A chat call that is paid from a budget: reserved before it is sent, settled by what it cost.

What is reserved is the price of the prompt, estimated, and of as many tokens as the answer may
have: ``max_tokens`` (of two limits in one request, the larger one), or `USUAL_ANSWER` where none is
set. So calls side by side exceed a budget by no more than their prompts and answers are longer than
that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from oxen_inference.chat import completions
from oxen_inference.chat.answer import CHARGED_TO, NOTHING_EXPECTED
from oxen_inference.chat.answer_cost import answer_text, set_cost, warn_once
from oxen_inference.chat.late_costs import write_cost, write_late_costs
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.prefetch import AsyncCatalogPrefetch, CatalogPrefetch
from oxen_inference.chat.token_counts import most_text_tokens, prompt_tokens
from oxen_inference.errors import (
    APIConnectionError,
    APIStatusError,
    BudgetExceededError,
    ConfigurationError,
    InternalServerError,
    InvalidInputError,
    RequestTimeoutError,
)
from oxen_inference.locks import Lock
from oxen_inference.money import BudgetWarning
from oxen_inference.transport_errors import never_connected

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.chat.answer import Answer, Delta
    from oxen_inference.ledger.budgets import Budget, Hold

USUAL_ANSWER = 2000
"""Tokens that an answer without ``max_tokens`` is taken to have, at most."""

_PRICE_TIMEOUT = 5.0  # seconds that a call may wait for its price

_NOT_TAKEN = frozenset({503, 529})
"""Statuses of a server that had no room for a call. After any other failure of a server or a
gateway, the model may have answered."""


def complete(
    client: Any, body: Mapping[str, Any], *, budget: Budget | None, **options: Any
) -> Answer:
    """Return a complete answer; see `completions.complete`. Raises `BudgetExceededError`."""
    if budget is None:
        return completions.complete(client, body, **options)
    prefetch = CatalogPrefetch.of(client)
    prefetch.start()
    payment = _Payment(budget, body, prefetch.model(body["model"], _PRICE_TIMEOUT))
    payment.reserve(client)
    try:
        answer = completions.complete(client, body, **{**options, "priced": True})
    except BaseException as error:
        payment.fail(error)
        raise
    payment.settle(answer)
    return answer


async def acomplete(
    client: Any, body: Mapping[str, Any], *, budget: Budget | None, **options: Any
) -> Answer:
    """Return a complete answer; see `complete`."""
    if budget is None:
        return await completions.acomplete(client, body, **options)
    payment = await _areserve(client, budget, body)
    try:
        answer = await completions.acomplete(client, body, **{**options, "priced": True})
    except BaseException as error:
        await _write(payment.fail, error)
        raise
    await _write(payment.settle, answer)
    return answer


def stream(
    client: Any, body: Mapping[str, Any], *, budget: Budget | None, **options: Any
) -> Generator[Delta, None, None]:
    """Yield the deltas of a streamed answer; see `completions.stream`.

    An answer that is not read to its end is charged for what was read of it.
    """
    if budget is None:
        return completions.stream(client, body, **options)  # type: ignore[return-value]  # it is a generator
    return _stream(client, body, budget, options)


def astream(
    client: Any, body: Mapping[str, Any], *, budget: Budget | None, **options: Any
) -> AsyncGenerator[Delta, None]:
    """Yield the deltas of a streamed answer; see `stream`."""
    if budget is None:
        return completions.astream(client, body, **options)  # type: ignore[return-value]  # same
    return _astream(client, body, budget, options)


def _stream(
    client: Any, body: Mapping[str, Any], budget: Budget, options: dict[str, Any]
) -> Generator[Delta, None, None]:
    prefetch = CatalogPrefetch.of(client)
    prefetch.start()
    payment = _Payment(budget, body, prefetch.model(body["model"], _PRICE_TIMEOUT))
    payment.reserve(client)
    try:
        options = payment.reading(options)
        with closing(completions.stream(client, body, **options)) as deltas:  # type: ignore[type-var]  # it is a generator
            for delta in deltas:
                if delta.end is not None:
                    payment.settle(delta.end)
                yield delta
    except BaseException as error:
        payment.fail(error)
        raise


async def _astream(
    client: Any, body: Mapping[str, Any], budget: Budget, options: dict[str, Any]
) -> AsyncGenerator[Delta, None]:
    payment = await _areserve(client, budget, body)
    is_whole = False
    try:
        options = payment.reading(options)
        async with aclosing(completions.astream(client, body, **options)) as deltas:  # type: ignore[type-var]  # same
            async for delta in deltas:
                if delta.end is not None:
                    is_whole = True
                    await _write(payment.settle, delta.end)
                yield delta
    except BaseException as error:
        if not is_whole:
            await _write(payment.fail, error)
        raise


async def _areserve(client: Any, budget: Budget, body: Mapping[str, Any]) -> _Payment:
    prefetch = AsyncCatalogPrefetch.of(client)
    prefetch.start()
    payment = _Payment(budget, body, await prefetch.model(body["model"], _PRICE_TIMEOUT))
    # The first import of SQLAlchemy would block the loop.
    await asyncio.to_thread(import_module, "oxen_inference.media.facade")
    try:
        await _write(payment.reserve_in, client.media.ledger)
    except asyncio.CancelledError:
        await _write(payment.cancel)
        raise
    return payment


async def _write(write: Callable[..., None], *arguments: Any) -> None:
    """Write to the ledger, in a thread since that may block: to its end, whoever is canceled."""
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, write, *arguments))


class _Payment:
    """What one call may cost, held in a budget, and then what it did cost."""

    def __init__(self, budget: Budget, body: Mapping[str, Any], model: Model | None) -> None:
        self._budget = budget
        self._model = model
        self._model_id = str(body["model"])
        self._body = body
        self._prompt = prompt_tokens(body, most_text_tokens)
        self._limit = _token_limit(body)
        self._most = self._limit or USUAL_ANSWER
        self._reader: AnswerReader | None = None
        self._lock = Lock()
        self._hold: Hold | None = None
        self._is_canceled = False

    def reserve(self, client: Any) -> None:
        """Hold what the call may cost. Raises `BudgetExceededError`."""
        self.reserve_in(client.media.ledger)

    def reserve_in(self, ledger: Any) -> None:
        write_late_costs(self._budget.account)
        try:
            hold = self._budget.hold(ledger, self._price(self._most) or Decimal(0))
        except BudgetExceededError as error:
            if error.left is not None:
                error.hint = self._reserve_hint
            raise
        with self._lock:
            self._hold = hold
            is_canceled = self._is_canceled
        if is_canceled:
            self._charge(Decimal(0))

    def cancel(self) -> None:
        """Hold nothing for a call that is not sent, also where `reserve_in` is not done yet."""
        with self._lock:
            self._is_canceled = True
        self._charge(Decimal(0))

    @property
    def _reserve_hint(self) -> str:
        if self._limit is None:
            return (
                f"Without max_tokens, {USUAL_ANSWER:,} tokens are reserved for an answer, beside "
                "its prompt: set max_tokens, or raise the limit."
            )
        return (
            f"{self._most:,} tokens are reserved for an answer (max_tokens), beside its prompt: "
            "lower max_tokens, or raise the limit."
        )

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a stream that is priced, and read where `fail` can see it."""
        self._reader = AnswerReader(options.get("expected", NOTHING_EXPECTED))
        return {**options, "priced": True, "reader": self._reader}

    def settle(self, answer: Answer) -> None:
        """Charge what the answer cost in place of what is held, and write into it who paid."""
        cost = answer.cost_charged
        if cost is None:
            cost = self._price(most_text_tokens(answer_text(answer)))
        if cost is None:
            message = f"The cost of answers by {self._model_id} is not known: the budget does not count them."
            warn_once(BudgetWarning, self._model_id, message)
        self._charge(cost or Decimal(0))
        answer.metadata[CHARGED_TO] = self._budget.account

    def fail(self, error: BaseException) -> None:
        """Charge what is known of a call that brought no whole answer.

        Nothing where the hub refused it or nothing was sent, else its prompt and what was read, or
        what its usage says where that is more.
        """
        if self._hold is None:  # it is settled
            return
        if _cost_nothing(error):
            self._charge(Decimal(0))
            return
        answer: Answer | None = getattr(error, "partial", None)
        if answer is None and self._reader is not None:  # of a stream that was left
            answer = self._reader.answer()
        cost = answer.cost_charged if answer else None  # of a whole answer that lacks its call
        self._charge(self._cost_of_part(answer) if cost is None else cost)

    def _cost_of_part(self, answer: Answer | None) -> Decimal:
        costs = [self._price(most_text_tokens(answer_text(answer) if answer else ""))]
        if answer is not None:
            set_cost(answer, self._model, self._body)
            costs.append(answer.cost_charged)
        return max((cost for cost in costs if cost is not None), default=Decimal(0))

    def _price(self, completion_tokens: int) -> Decimal | None:
        if self._model is None:
            return None
        from oxen_inference.catalog.chat_cost import chat_cost_estimate

        usage = {"prompt_tokens": self._prompt, "completion_tokens": completion_tokens}
        return chat_cost_estimate(self._model, usage)

    def _charge(self, cost: Decimal) -> None:
        with self._lock:
            hold, self._hold = self._hold, None
        if hold is not None:
            write_cost(hold.account, partial(hold.settle, cost, self._model_id))


def _cost_nothing(error: BaseException) -> bool:
    """Whether the call was refused, or no byte of it was sent.

    A connection that broke later, and a gateway that waited in vain, may have lost an answer that
    is billed.
    """
    if isinstance(error, ConfigurationError | InvalidInputError):
        return True
    if isinstance(error, APIConnectionError):
        from oxen_inference.media.queue_decision import surely_not_sent

        cause = error.__cause__
        return surely_not_sent(error) or (cause is not None and never_connected(cause))
    if not isinstance(error, APIStatusError) or error.partial is not None:
        return False
    # By its class: a provider's refusal comes inside a failure of the hub, too.
    is_failure = isinstance(error, InternalServerError | RequestTimeoutError)
    return not is_failure or error.status_code in _NOT_TAKEN


def _token_limit(body: Mapping[str, Any]) -> int | None:
    limits = (body.get("max_tokens"), body.get("max_completion_tokens"))
    numbers = [n for n in limits if isinstance(n, int | float) and not isinstance(n, bool)]
    given = [math.ceil(n) for n in numbers if 0 < n < math.inf]
    return max(given, default=None)  # which of two limits counts is up to the provider
