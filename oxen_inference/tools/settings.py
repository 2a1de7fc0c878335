"""What the settings of a media tool amount to, refused early where they amount to nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from oxen_inference.tools.connection import Connection

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.ledger.budgets import Budget

MEDIA = ("image", "video", "audio")
_LONGEST_NAME = 64  # of a function, in OpenAI's and Anthropic's APIs


def kind_of(model: Model) -> str:
    """Return which of `MEDIA` a model makes. Raises `InvalidInputError` if it makes none."""
    if model.kind in MEDIA:
        return str(model.kind)
    made = next((kind for kind in MEDIA if model.makes(kind)), None)
    if made is None:
        from oxen_inference.errors import InvalidInputError

        makes = " and ".join(model.outputs) or "nothing that the catalog names"
        hint = "Use ChatOxen or, in LlamaIndex, Oxen for it." if model.is_chat else None
        raise InvalidInputError(f"{model.id} makes {makes}, not images, video or audio.", hint=hint)
    return made


def check_limits(
    *, max_cost: Any = None, timeout: Any = None, on_interrupt: Any = "detach", save_to: Any = None
) -> None:
    """Raise `InvalidInputError` for a limit that is none, or a folder that cannot be written."""
    from oxen_inference.errors import InvalidInputError
    from oxen_inference.ledger.budgets import read_amount

    if max_cost is not None:
        read_amount(max_cost, "max_cost")
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise InvalidInputError(f"timeout must be a number of seconds above 0, not {timeout!r}.")
    if on_interrupt not in ("detach", "cancel"):
        raise InvalidInputError(f'on_interrupt must be "detach" or "cancel", not {on_interrupt!r}.')
    if save_to is not None:
        from oxen_inference.media.results.files import folder_to_save_in

        folder_to_save_in(save_to)


def refuse_second_budget(name: str, own: Budget | None, other: Budget) -> None:
    """Raise `ConfigurationError` if a tool that has a budget is to be paid from another one."""
    if own is None or own is other:
        return
    if own.name is not None and (own.name, own.ledger) == (other.name, other.ledger):
        return
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"{name} has a budget of its own, {own!r}, and cannot be paid from {other!r}, too.",
        hint="Give OxenBudgetMiddleware that budget, budget=..., or the tool none.",
    )


def connection_for(
    client: Any, api_key: Any, base_url: Any, ledger: Any, budget: Any
) -> Connection:
    """Return the connection for such settings. Raises `ConfigurationError` if they are unusable."""
    if client is not None and not (api_key is None and base_url is None and ledger is ...):
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            "A client brings its own api_key, base_url and ledger: give either the client or these."
        )
    if client is None and ledger is ... and getattr(budget, "ledger", None) is not None:
        ledger = budget.ledger  # intent and reservation in one transaction
    connection = Connection(client=client, api_key=api_key, base_url=base_url, ledger=ledger)
    connection.check()
    return connection


def tool_name(model: Model, role: str | None = None) -> str:
    """Return what a model's tool is called, in letters that every API takes."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", model.id).strip("_")
    name = f"{role or f'generate_{kind_of(model)}'}_with_{words}"
    if len(name) <= _LONGEST_NAME and words and model.id.isascii():
        return name
    # What is left of the id may be the same for another model.
    mark = hashlib.sha256(model.id.encode(errors="replace")).hexdigest()[:6]
    return f"{name[: _LONGEST_NAME - len(mark) - 1].rstrip('_')}_{mark}"


def refuse_twins(names: Sequence[str], remedy: str) -> None:
    """Raise `ConfigurationError` if two tools have one name: an agent would run either."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(f"Two tools are called {', '.join(twice)}: {remedy}")
