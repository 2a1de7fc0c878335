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
from oxen_inference.options import ELSEWHERE, refuse_options

_CLOSE = 0.85
_SHORTEST = 5  # letters of an option that a misspelled name is compared with


def check_names(
    names: Iterable[str], options: Collection[str], models: Iterable[object] = ()
) -> None:
    """Raise `InvalidInputError` for a name that is surely a misspelled option.

    What `models` document as a parameter is one. Where all of them document theirs, every other
    name is refused; else only one that is very close to an option, and of no known parameter, and
    one that is an option of another call.
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
            if documented:
                refuse_options([name], way_out="params={...}")
            continue
        listed = ", ".join(sorted({*options} - {"key_is_derived"}))
        raise InvalidInputError(
            f"{name} is neither an option nor a parameter of the model. Nothing was sent.",
            hint=f"Did you mean {meant}?" if meant else f"Options are {listed}.",
        )


def refuse_keywords(names: Iterable[str], model: object, way_out: str | None = None) -> None:
    """Raise `InvalidInputError` for options of other calls that `model` would be sent."""
    refuse_options(
        names, parameters(model).fields if isinstance(model, Model) else (), way_out=way_out
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
    other = ELSEWHERE.get(name)
    if other in options:
        return other
    long = [option for option in options if len(option) >= _SHORTEST]
    near = get_close_matches(name, long, n=1, cutoff=_CLOSE)
    return near[0] if near else None
