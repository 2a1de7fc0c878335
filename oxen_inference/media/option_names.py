"""The options of a call and of a run over many, by name: what is none of them is a parameter.

So a misspelled option would be sent as a parameter, or refused for each request of a long list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.parameter_roles import role_of
from oxen_inference.catalog.parameters import COMMON, parameters
from oxen_inference.errors import InvalidInputError

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

_ELSEWHERE = {
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
_CLOSE = 0.85
_SHORTEST = 5  # letters of an option that a misspelled name is compared with


def check_names(
    names: Iterable[str], options: Collection[str], models: Iterable[object] = ()
) -> None:
    """Raise `InvalidInputError` for a name that is surely a misspelled option.

    What `models` document as a parameter is one. Where all of them document theirs, every other
    name is refused; else only one that is very close to an option, and of no known parameter.
    """
    documented = [parameters(model) for model in models if isinstance(model, Model)]
    own = {name for known in documented for name in known.fields} | COMMON.keys()
    is_complete = bool(documented) and not any(known.open for known in documented)
    for name in names:
        if name in options or name in own:
            continue
        meant = _meant(name, options)
        if is_complete and not meant:
            near = get_close_matches(name, own, n=1)
            meant = near[0] if near else None
        elif not is_complete and (meant is None or role_of(name) is not None):
            continue
        listed = ", ".join(sorted({*options} - {"key_is_derived"}))
        raise InvalidInputError(
            f"{name} is neither an option nor a parameter of the model. Nothing was sent.",
            hint=f"Did you mean {meant}?" if meant else f"Options are {listed}.",
        )


def refuse_unknown(names: Iterable[str], options: Collection[str]) -> None:
    """Raise `InvalidInputError` for a name that is no option."""
    for name in names:
        if name not in options:
            meant = _meant(name, options)
            raise InvalidInputError(
                f"{name} is not an option.",
                hint=f"Did you mean {meant}?"
                if meant
                else f"Options are {', '.join(sorted(options))}.",
            )


def _meant(name: str, options: Collection[str]) -> str | None:
    other = _ELSEWHERE.get(name)
    if other in options:
        return other
    long = [option for option in options if len(option) >= _SHORTEST]
    near = get_close_matches(name, long, n=1, cutoff=_CLOSE)
    return near[0] if near else None
