"""What answers and generations cost, and a counter of it: `oxen_cost`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from oxen_inference.locks import Lock

if TYPE_CHECKING:
    from oxen_inference.ledger.budgets import Budget


class OxenCost(BaseCallbackHandler):
    """Counts what answers and generations cost. USD, in `Decimal`.

    Answers whose cost is not known are in `unknown`; they are counted with their tokens only.
    """

    run_inline = True  # so that nothing is missing at the end of a block

    def __init__(self) -> None:
        self._lock = Lock()
        self._media: dict[str, Decimal] = {}
        self.chat_cost = Decimal(0)
        self.prompt_tokens = self.completion_tokens = 0
        self.calls = self.unknown = 0

    def __repr__(self) -> str:
        return f"OxenCost(total_cost={self.total_cost}, total_tokens={self.total_tokens})"

    @property
    def total_cost(self) -> Decimal:
        """USD for answers and generations together."""
        return self.chat_cost + self.media_cost

    @property
    def media_cost(self) -> Decimal:
        """USD for images, videos and audio."""
        return sum(self._media.values(), Decimal(0))

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def media(self) -> dict[str, Decimal]:
        """What each generation cost, by its id; one that a replay found again is counted once."""
        return dict(self._media)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        from oxen_inference.chat.answer import charged_cost

        for generation in (one for batch in response.generations for one in batch):
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if not isinstance(message, AIMessage) or is_from_cache(message):
                continue
            usage = message.usage_metadata
            cost = charged_cost(message.response_metadata)
            with self._lock:
                self.calls += 1
                self.unknown += cost is None
                self.chat_cost += cost or 0
                self.prompt_tokens += usage["input_tokens"] if usage else 0
                self.completion_tokens += usage["output_tokens"] if usage else 0

    def add_media(self, costs: Mapping[str, Decimal]) -> None:
        """Count what generations cost, by their ids."""
        with self._lock:
            self._media |= costs


_current: ContextVar[OxenCost | None] = ContextVar("oxen_cost", default=None)
register_configure_hook(_current, inheritable=True)


@contextmanager
def oxen_cost() -> Generator[OxenCost, None, None]:
    """Count what all LangChain calls inside the block cost, also behind parsers and in agents.

    ```python
    from langchain_oxen import ChatOxen, oxen_cost

    with oxen_cost() as cost:
        ChatOxen(model="claude-sonnet-4-6").invoke("What is a great name for an ox?")
    print(cost.total_cost, cost.total_tokens)
    ```
    """
    counter = OxenCost()
    token = _current.set(counter)
    try:
        yield counter
    finally:
        _current.reset(token)


def count_media(run_manager: Any, costs: Mapping[str, Decimal]) -> None:
    """Tell the counters of a tool's run what its generations cost.

    Directly: a call with plain arguments ends without the artifact that has the costs.
    """
    for handler in run_manager.handlers:
        if isinstance(handler, OxenCost):
            handler.add_media(costs)


def paid_costs(artifact: Any) -> dict[str, Decimal]:
    """Return what the generations in a tool's artifact cost, by id, where that is known."""
    if not isinstance(artifact, Mapping):
        return {}
    results = artifact["results"] if isinstance(artifact.get("results"), list) else [artifact]
    return {
        str(item.get("generation_id") or f"{result.get('entry_id')}:{number}"): Decimal(
            item["cost"]
        )
        for result in results
        for number, item in enumerate(result.get("items") or ())
        if item.get("cost") is not None
    }


def is_from_cache(message: BaseMessage) -> bool:
    """Whether an answer came from LangChain's cache, and cost nothing.

    LangChain marks it (`BaseChatModel._convert_cached_generations`).
    """
    usage = getattr(message, "usage_metadata", None) or {}
    return usage.get("total_cost") == 0


def is_charged_to(message: BaseMessage, budget: Budget) -> bool:
    """Whether the model's own budget, which paid for an answer, is this one."""
    from oxen_inference.chat.answer import CHARGED_TO

    return bool(message.response_metadata.get(CHARGED_TO) == budget.account)
