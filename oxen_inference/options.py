"""The names of all options of the core, and where each of them counts.

A model without a schema takes any parameter, so an option of another call would be sent to it as one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

REQUEST_OPTIONS = frozenset(
    {
        "model",
        "key",
        "conversation",
        "max_cost",
        "budget",
        "allow_unknown_cost",
        "direct",
        "allow_paths",
        "price_caps",
        "inline_inputs",
        "key_is_derived",
    }
)
RUN_OPTIONS = ("max_in_flight", "max_connections", "attempts", "key_prefix", "stop_after")
WAIT_OPTIONS = frozenset({"timeout", "on_interrupt", "save_to", "on_progress", "file_name"})
CALL_OPTIONS = frozenset({*REQUEST_OPTIONS, *WAIT_OPTIONS, "prompt", "params"})
"""What `generate` takes beside the model's parameters."""
ALL_OPTIONS = frozenset({*CALL_OPTIONS, *RUN_OPTIONS})
"""What `generate_many` and `generate_as_completed` take beside them."""

ELSEWHERE = {
    "concurrency": "max_in_flight",
    "max_concurrency": "max_in_flight",
    "max_workers": "max_connections",
    "workers": "max_connections",
    "num_workers": "max_connections",
    "retries": "attempts",
    "max_retries": "attempts",
    "show_progress": "on_progress",
    "progress": "on_progress",
    "callback": "on_progress",
    "output_dir": "save_to",
    "save_dir": "save_to",
    "idempotency_key": "key",
    "cache_key": "key",
    "max_price": "max_cost",
    "base_url": "api_base",  # LlamaIndex's name
    "api_base": "base_url",  # LangChain's, and the client's
}
"""Names that other libraries have for an option → its name here."""

_TAKEN_BY = {
    **dict.fromkeys(CALL_OPTIONS - {"model", "prompt", "params"}, "client.media.generate"),
    **dict.fromkeys(RUN_OPTIONS, "client.media.generate_many and generate_as_completed"),
    "confirm_above": "OxenToolSpec; in LangChain, pass ask_above to OxenBudgetMiddleware",
    "ask_above": "OxenBudgetMiddleware",
    "api_key": "OxenClient",
    "base_url": "OxenClient",
}


def refuse_options(
    names: Iterable[str], documented: Collection[str] = (), *, way_out: str | None = None
) -> None:
    """Raise `InvalidInputError` for a name that is an option of another call.

    One that the model documents as a parameter is a parameter. `way_out`: how a parameter is given
    that the model has and does not document.
    """
    from oxen_inference.errors import InvalidInputError

    for name in names:
        option = name if name in _TAKEN_BY else ELSEWHERE.get(name)
        if option is None or name in documented:
            continue
        meant = f"Give it to {_TAKEN_BY[option]}."
        if option != name:
            meant = f"Did you mean {option}, an option of {_TAKEN_BY[option]}?"
        raise InvalidInputError(
            f"{name} is no option of this call, and no parameter that the model documents. Nothing "
            "was sent.",
            hint=meant
            if way_out is None
            else f"{meant} A parameter of that name goes in {way_out}.",
        )
