"""Filters over a list of models, and the list itself: a table that says why it is empty."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.models import MODALITIES, Model
from oxen_inference.catalog.pricing import price_hint
from oxen_inference.catalog.suggestions import did_you_mean, suggestion

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("id", "makes", "takes", "price", "developer", "status")


class ModelList(list[Model]):
    """Models, in the hub's order. `note` says why there are none, or that they are not fresh."""

    def __init__(self, models: Iterable[Model] = (), note: str | None = None) -> None:
        super().__init__(models)
        self.note = note

    @property
    def reason(self) -> str | None:
        """Why the list is empty; None where it is not."""
        return None if self else self.note

    def __repr__(self) -> str:
        if not self:
            return f"ModelList([]: {self.note})" if self.note else "ModelList([])"
        return f"ModelList({[model.id for model in self]})"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells, one row a model."""
        return [
            (
                model.id,
                ", ".join(model.outputs),
                ", ".join(model.inputs),
                price_hint(model) or "",
                model.developer or "",
                model.deployment_status or "",
            )
            for model in self
        ]

    def _repr_html_(self) -> str:
        def cells(tag: str, texts: Iterable[str]) -> str:
            return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)

        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows())
        note = f"<caption>{html.escape(self.note)}</caption>" if self.note else ""
        return f"<table>{note}<tr>{cells('th', _COLUMNS)}</tr>{body}</table>"

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=Text(self.note) if self.note else None)
        for column in _COLUMNS:
            table.add_column(column, overflow="fold", no_wrap=column == "id")
        for row in self.rows():
            table.add_row(*map(Text, row))  # as text: an id may hold what looks like markup
        return table


def select(
    models: Iterable[Model],
    filters: Mapping[str, Any],
    applied_by_hub: Mapping[str, str] | None = None,
) -> ModelList:
    """Return the models that pass every filter that is not None; `note` says which let none pass.

    Filters: developer, provider, action, search, input, output, method, deployed. A model that
    contradicts a filter `applied_by_hub` is left out too. Raises `InvalidInputError` for a provider
    where no model names one.
    """
    selected, note = list(models), None
    if not selected:
        listed = ", ".join(f"{name}={value!r}" for name, value in (applied_by_hub or {}).items())
        note = f"the hub lists no models with {listed}" if listed else "the hub lists no models"
    for name, wanted in (applied_by_hub or {}).items():
        if name not in _STATED or not selected:
            continue
        passing = [model for model in selected if not _contradicts(name, wanted, model)]
        if not passing:
            note = _why_empty(name, wanted, selected)
        selected = passing
    for name, wanted in filters.items():
        if wanted is None or not selected:
            continue
        if name == "provider" and not any(map(_providers, selected)):
            from oxen_inference.errors import InvalidInputError

            raise InvalidInputError(
                "None of the models names its provider.",
                hint="Use the base URL that ends in /api/ai: models can be listed by provider "
                "there only.",
            )
        passes = _FILTERS[name](wanted)
        passing = [model for model in selected if passes(model)]
        if not passing:
            note = _why_empty(name, wanted, selected)
        selected = passing
    return ModelList(selected, note)


def modality(value: str) -> str:
    """Spell a modality as the catalog does: "Images" is "image"."""
    word = str(value).strip().lower()
    return word[:-1] if word[:-1] in MODALITIES else word


def _why_empty(name: str, wanted: Any, models: list[Model]) -> str:
    note = f"none of the {len(models)} models has {name}={wanted!r}"
    values = sorted({value for model in models for value in _VALUES[name](model)})
    if not values or name in ("search", "deployed"):
        return note
    near = suggestion(did_you_mean(str(wanted), values))
    return f"{note}; there are {', '.join(values[:12])}. {near}".strip()


def _letters(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "", str(value).lower())


def _contradicts(name: str, wanted: object, model: Model) -> bool:
    """Whether an entry's own fields rule a filter's value out; missing fields do not."""
    stated = _STATED[name](model)
    if stated is None:
        return False
    word = _letters(wanted)
    values = list(filter(None, map(_letters, stated)))
    if name == "action":
        return word not in values
    return bool(word and values) and not any(word in one or one in word for one in values)


def _actions(model: Model) -> list[str]:
    return _stated_actions(model) or []


def _stated_actions(model: Model) -> list[str] | None:
    """Return the kinds of fine-tuning: none for a documented null, None where nothing is stated."""
    tuning = model.raw.get("fine_tuning", "")
    if tuning is None:
        return []
    actions = tuning.get("actions") if isinstance(tuning, Mapping) else None
    return [str(action) for action in actions] if isinstance(actions, list) else None


def _developers(model: Model) -> list[str]:
    return [*([model.developer] if model.developer else []), *_names(model, "developer")]


def _providers(model: Model) -> list[str]:
    return _names(model, "provider")


def _names(model: Model, role: str) -> list[str]:
    """Return what an entry calls its developer or provider, in whichever fields."""
    found: list[object] = []
    for key in (role, f"{role}s", f"{role}_name"):
        value = model.raw.get(key)
        for each in value if isinstance(value, list) else [value]:
            found += each.values() if isinstance(each, Mapping) else [each]
    return [name for name in found if isinstance(name, str) and name.strip()]


def _text_of(model: Model) -> str:
    return " ".join(
        filter(None, (model.id, model.display_name, model.developer, model.summary))
    ).lower()


_VALUES: dict[str, Callable[[Model], Iterable[str]]] = {
    "developer": lambda model: [model.developer] if model.developer else [],
    "provider": _providers,
    "action": _actions,
    "search": lambda _: [],
    "input": lambda model: model.inputs,
    "output": lambda model: model.outputs,
    "method": lambda model: (
        [model.pricing.method] if model.pricing and model.pricing.method else []
    ),
    "deployed": lambda _: [],
}
_STATED: dict[str, Callable[[Model], list[str] | None]] = {
    "developer": _developers,
    "provider": _providers,
    "action": _stated_actions,
}
_FILTERS: dict[str, Callable[[Any], Callable[[Model], bool]]] = {
    "developer": lambda wanted: lambda model: _letters(wanted) in _letters(model.developer or ""),
    "provider": lambda wanted: (
        lambda model: any(_letters(wanted) in _letters(name) for name in _providers(model))
    ),
    "action": lambda wanted: (
        lambda model: str(wanted).lower() in [action.lower() for action in _actions(model)]
    ),
    "search": lambda wanted: (
        lambda model: all(word in _text_of(model) for word in str(wanted).lower().split())
    ),
    "input": lambda wanted: lambda model: model.takes(modality(wanted)),
    "output": lambda wanted: lambda model: model.makes(modality(wanted)),
    "method": lambda wanted: lambda model: str(wanted).lower() in _VALUES["method"](model),
    "deployed": lambda wanted: (
        lambda model: (
            model.deployment_status is not None and (model.deployment_status == "active") == wanted
        )
    ),
}
