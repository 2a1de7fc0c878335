"""Names of parameters as function calling takes them, and back to those on the wire.

Providers take letters, digits, `_`, `-` and `.`, 64 of them at most; a parameter itself is a field
of a class, too (https://platform.openai.com/docs/guides/function-calling).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from oxen_inference.catalog.json_schema import MAX_DEPTH, Schema, alternatives, merged, schemas_in

LONGEST = 64
_FITS = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST}}}")
# Tools are called with their arguments by name, where `self` and LlamaIndex's `ctx` are taken.
_TAKEN = frozenset({"self", "ctx"})


def field_names(wire_names: Iterable[str], own: type) -> dict[str, str]:
    """Wire name to field name: an identifier that is none of the names the class `own` has."""
    wanted = {wire: _identifier(wire) for wire in wire_names}
    # Those that keep their name come first, so that no other is renamed to it.
    names = {
        wire: name for wire, name in wanted.items() if wire == name and not _is_taken(name, own)
    }
    for wire in [wire for wire in wanted if wire not in names]:
        name = f"{wanted[wire]}_" if _is_taken(wanted[wire], own) else wanted[wire]
        names[wire] = _unlike(name, names.values())
    return names


def property_names(wire_names: Iterable[str]) -> dict[str, str]:
    """Wire name to the name of a property inside an argument; most are the same."""
    wire_names = list(wire_names)
    names = {wire: wire for wire in wire_names if _FITS.fullmatch(wire)}
    for wire in [wire for wire in wire_names if wire not in names]:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", wire)[:LONGEST] or "field"
        names[wire] = _unlike(name, names.values())
    return names


def fits(value: object) -> bool:
    """Whether all names inside a value are such names."""
    if isinstance(value, Mapping):
        return all(_FITS.fullmatch(str(n)) and fits(inner) for n, inner in value.items())
    return all(map(fits, value)) if isinstance(value, list) else True


def by_wire_names(value: Any, spec: object, root: Schema, depth: int = 0) -> Any:
    """Return an argument with the names inside it as its schema spells them."""
    if depth > MAX_DEPTH or not isinstance(value, Mapping | list | tuple):
        return value
    forms = [merged(spec, root), *alternatives(spec, root)]
    if isinstance(value, Mapping):
        return _object_by_wire_names(value, forms, root, depth)
    items = []
    for item in value:
        for kind in [kind for rules in forms for kind in item_kinds(rules)]:
            item = by_wire_names(item, kind, root, depth + 1)  # noqa: PLW2901 - what is renamed stays so
        items.append(item)
    return items


def item_kinds(rules: Schema) -> list[Any]:
    """The schemas of a list's items; of a tuple, those of its places and of what follows."""
    rest = rules.get("items")
    places = schemas_in(rules.get("prefixItems"))
    if isinstance(rest, list):  # draft 7's tuples
        places, rest = schemas_in(rest), rules.get("additionalItems")
    return [*places, rest] if isinstance(rest, Mapping) and rest else places


def _object_by_wire_names(
    value: Mapping[Any, Any], forms: Iterable[Schema], root: Schema, depth: int
) -> dict[str, Any]:
    known: dict[str, tuple[str, object]] = {}
    for rules in forms:
        properties = rules.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        for wire, shown in property_names(map(str, properties)).items():
            known.setdefault(shown, (wire, properties.get(wire)))
            known.setdefault(wire, (wire, properties.get(wire)))
    renamed = {}
    for name, inner in value.items():
        wire, spec = known.get(str(name), (str(name), None))
        renamed[wire] = by_wire_names(inner, spec, root, depth + 1)
    return renamed


def _identifier(wire: str) -> str:
    name = re.sub(r"\W", "_", wire, flags=re.ASCII).strip("_")[: LONGEST - 4] or "field"
    return f"n{name}" if name[0].isdigit() else name


def _is_taken(name: str, own: type) -> bool:
    return name in _TAKEN or hasattr(own, name)


def _unlike(name: str, others: Container[str]) -> str:
    """Return `name`, or one made from it that is none of the `others`."""
    tried, number = name, 2
    while tried in others:
        tried, number = f"{name[: LONGEST - 5]}_{number}", number + 1
    return tried
