"""What an answer cost: what it states, what the catalog's prices say, and which of them counts.

| what is known | counts | a budget is charged |
| --- | --- | --- |
| a stated cost in USD | stated | the stated one; the higher where they differ by over a tenth |
| the price of every token | computed | the computed one |
| the list price, but some tokens have their own, or were not reported | estimated | the estimate |

Tokens that were not reported are estimated by the texts of the request and the answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.chat.token_counts import prompt_tokens, text_tokens
from oxen_inference.locks import Lock
from oxen_inference.money import usd

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.chat.answer import Answer
    from oxen_inference.chat.usage import Usage

_TOLERANCE = Decimal("1.1")
"""How many times the lower of two costs the higher one may be before they disagree."""
_MOST_CHARACTERS_PER_TOKEN = 8
"""Of whole prompts, in any script."""
_MOST_WARNED = 1000

_warned: set[tuple[type[Warning], str]] = set()
_warned_lock = Lock()


class CostWarning(UserWarning):
    """What an answer states as its cost is not what the catalog's prices say."""


def set_cost(answer: Answer, model: Model | None, body: Mapping[str, Any]) -> None:
    """Set the cost fields of an answer to the request `body`; `model` is its catalog entry."""
    _compute(answer, model, body)
    stated, computed = answer.cost_stated, answer.cost_computed
    if stated is not None and stated.is_in_dollars:
        answer.cost, answer.cost_source = stated.amount, "stated"
        answer.cost_estimate = None
    elif computed is not None:
        answer.cost, answer.cost_source = computed, "computed"
    elif answer.cost_estimate is not None:
        answer.cost_source = "estimated"
    answer.cost_charged = answer.cost if answer.cost is not None else answer.cost_estimate
    if answer.cost_source == "stated" and computed is not None and answer.cost is not None:
        low, high = sorted((answer.cost, computed))
        if high > low * _TOLERANCE:
            answer.cost_charged = high
            model_id = str(body.get("model"))
            warn_once(
                CostWarning,
                model_id,
                f"An answer by {model_id} states a cost of {usd(answer.cost)}, and by the catalog's "
                f"prices it is {usd(computed)}. Budgets count the higher one.",
            )


def answer_text(answer: Answer) -> str:
    """Return all that a model wrote: the text, the reasoning, and the arguments of its calls."""
    arguments = (call.arguments for call in answer.tool_calls)
    return "".join((answer.text, answer.reasoning, answer.refusal, *arguments))


def text_length(messages: object) -> int:
    """Return how many characters of text the messages of a request have, files left out."""
    return sum(map(len, _texts(messages if isinstance(messages, list | tuple) else ())))


def _compute(answer: Answer, model: Model | None, body: Mapping[str, Any]) -> None:
    """Set what the answer costs by the prices of its model, or else an estimate."""
    if model is None or answer.usage is None:
        return
    from oxen_inference.catalog.chat_cost import chat_cost, chat_cost_estimate

    reported = answer.usage
    usage = reported.as_openai()
    has_input, has_output = _has_input(reported, body), _has_output(answer, reported)
    if has_input and has_output:
        answer.cost_computed = chat_cost(model, usage)
    if not has_output:
        usage["completion_tokens"] = text_tokens(answer_text(answer))
    if not has_input:
        rest = reported.total_tokens - usage["completion_tokens"]
        usage["prompt_tokens"] = max(rest, prompt_tokens(body))
    elif has_output:  # some upstreams count thinking in the total alone
        usage["completion_tokens"] = reported.total_tokens - reported.input_tokens
    if answer.cost_computed is None:
        answer.cost_estimate = chat_cost_estimate(model, usage)


def _has_input(usage: Usage, body: Mapping[str, Any]) -> bool:
    """Whether all tokens of the prompt are reported. Some upstreams leave out those that they read
    from a cache: then there are far fewer than were sent.
    """
    least = text_length(body.get("messages")) / _MOST_CHARACTERS_PER_TOKEN
    return usage.has_input and 0 < usage.input_tokens >= least


def _has_output(answer: Answer, usage: Usage) -> bool:
    """Whether the tokens of the answer are reported: none at all are not those of a text."""
    has_files = any(answer.extras.get(name) for name in ("images", "audio"))
    is_empty = not (answer_text(answer) or answer.tool_calls or has_files)
    return usage.has_output and (usage.output_tokens > 0 or is_empty)


def _texts(messages: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list | tuple) else (content,):
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str):
                yield text


def warn_once(category: type[Warning], model_id: str, message: str) -> None:
    """Show a warning about a model's answers, once in this process."""
    with _warned_lock:
        if (category, model_id) in _warned or len(_warned) >= _MOST_WARNED:
            return
        _warned.add((category, model_id))
    warnings.warn(message, category, stacklevel=4)
