"""Check a value against a JSON Schema, and bring it to the form the schema asks for.

Covers `$ref`, `anyOf`/`oneOf`/`allOf`/`not`, `enum`, `const`, lists of types, bounds in both
styles, strings, arrays, objects, and `nullable`. A documented default is always accepted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from oxen_inference.catalog.json_schema import (
    MAX_DEPTH,
    Schema,
    allows_null,
    bounds,
    choices_of,
    merged,
    number_of,
    required_of,
    resolve,
    same,
    schemas_in,
    shown,
    types_of,
)

_SPOKEN = {
    "string": "a string", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip

# Schemas beside each other count as several levels: a circle of them doubles with each.
_DEEPER = 4


class Misfit(Exception):  # noqa: N818 - a value's, not the program's, failure; never leaves here
    """Why a value does not fit: `path` below the value, and the rule it breaks, in words."""

    def __init__(self, rule: str, path: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.path = path

    def below(self, step: str) -> Misfit:
        """The same, seen from one level up."""
        return Misfit(self.rule, step + self.path)


def fit(value: Any, schema: object, root: Schema, depth: int = 0) -> Any:
    """Return `value` in the form `schema` asks for. Raises `Misfit`.

    `root` is the document that `$ref` points into.
    """
    if depth > MAX_DEPTH:
        return value
    rules = resolve(schema, root)
    if "default" in rules and same(value, rules["default"]):
        return value
    if value is None and allows_null(rules, root):
        return value
    for part in schemas_in(rules.get("allOf")):
        value = fit(value, part, root, depth + _DEEPER)
    for name in ("anyOf", "oneOf"):
        if branches := schemas_in(rules.get(name)):
            value = _fit_any(value, branches, root, depth)
    if "not" in rules and isinstance(rules["not"], Mapping) and rules["not"]:
        _refuse(value, rules["not"], root, depth)
    choices = choices_of(rules)
    if choices is not None:
        return _fit_choice(value, choices, types_of(rules))
    value = _fit_type(value, rules)
    for check in _CHECKS:
        check(value, rules)
    if isinstance(value, list):
        return _fit_items(value, rules, root, depth)
    if isinstance(value, dict):
        return _fit_properties(value, rules, root, depth)
    return value


def _fit_any(value: Any, branches: list[Any], root: Schema, depth: int) -> Any:
    misfits: list[Misfit] = []
    for branch in branches:
        try:
            return fit(value, branch, root, depth + _DEEPER)
        except Misfit as misfit:  # noqa: PERF203 - trying each branch is the point
            misfits.append(misfit)
    raise _nearest(value, [merged(branch, root) for branch in branches], misfits, root)


def _nearest(value: Any, branches: list[Schema], misfits: list[Misfit], root: Schema) -> Misfit:
    """Why a value fits none of the branches: by the one it was meant for, else by all of them."""
    tried = list(zip(branches, misfits, strict=True))
    if isinstance(value, Mapping):
        objects = [(b, misfit) for b, misfit in tried if isinstance(b.get("properties"), Mapping)]
        tag = _tag([branch for branch, _ in objects], root)
        if tag is not None:
            kinds = [(_listed(branch, tag, root), misfit) for branch, misfit in objects]
            meant = [m for kind, m in kinds if any(same(value.get(tag), one) for one in kind)]
            if tag in value and len(meant) == 1:
                return meant[0]
            if not meant:
                listed = ", ".join(dict.fromkeys(shown(one) for kind, _ in kinds for one in kind))
                missing = "" if tag in value else "is missing: "
                return Misfit(f"{missing}must be one of {listed}", f".{tag}")
    inside = [misfit for branch, misfit in tried if misfit.path and _is_of_type(value, branch)]
    if len(inside) == 1:
        return inside[0]
    said = dict.fromkeys(f"{misfit.path.lstrip('.')} {misfit.rule}".strip() for misfit in misfits)
    fits_none = "fits none of its forms: " if inside else ""
    return Misfit(fits_none + " or ".join(said))


def _tag(branches: list[Schema], root: Schema) -> str | None:
    """The field whose listed values tell the branches apart, as a discriminator does."""
    for name in branches[0]["properties"] if len(branches) > 1 else ():
        first, *others = (_listed(branch, name, root) for branch in branches)
        if first and all(others) and not any(same(other, first) for other in others):
            return str(name)
    return None


def _listed(branch: Schema, name: str, root: Schema) -> list[Any]:
    return choices_of(resolve(branch["properties"].get(name), root)) or []


def _is_of_type(value: Any, branch: Schema) -> bool:
    try:
        _fit_type(value, branch)
    except Misfit:
        return False
    return True


def _refuse(value: Any, schema: Schema, root: Schema, depth: int) -> None:
    try:
        fit(value, schema, root, depth + 1)
    except Misfit:
        return
    raise Misfit(f"must not be {shown(value)}")


def _fit_choice(value: Any, choices: list[Any], types: frozenset[str]) -> Any:
    for choice in choices:
        if same(value, choice):
            return choice
    spelled = _spelled(value)
    # Published enums disagree with their types: "8" under a type that includes integer, and
    # seconds that must be strings. A number written as a string is refused where only numbers
    # are allowed.
    as_written = types and isinstance(value, str) and "string" not in types
    for choice in choices:
        if spelled is not None and spelled == _spelled(choice):
            if as_written and not isinstance(choice, str):
                break
            return choice
    listed = ", ".join(shown(choice) for choice in choices)
    raise Misfit(f"must be one of {listed}" if len(choices) > 1 else f"must be {listed}")


def _spelled(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _fit_type(value: Any, rules: Schema) -> Any:
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit("must be a finite number")
    types = types_of(rules)
    if not types:
        return dict(value) if isinstance(value, Mapping) else value
    if isinstance(value, bool):
        kinds: tuple[str, ...] = ("boolean",)
    elif isinstance(value, int):
        kinds = ("integer", "number")
    elif isinstance(value, float):
        kinds = ("number", "integer") if value.is_integer() else ("number",)
    elif isinstance(value, Mapping):
        kinds, value = ("object",), dict(value)
    else:
        kinds = ({str: "string", list: "array", type(None): "null"}.get(type(value), "odd"),)
    if types.isdisjoint(kinds):
        wanted = " or ".join(_SPOKEN[name] for name in sorted(types - {"null"}) or ["null"])
        raise Misfit(f"must be {wanted}")
    if isinstance(value, float) and value.is_integer() and "number" not in types:
        return int(value)
    return value


def _check_number(value: Any, rules: Schema) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    least, no_least, most, no_most = bounds(rules)
    number = Decimal(str(value))
    too_low = least is not None and (number < least or (no_least and number == least))
    too_high = most is not None and (number > most or (no_most and number == most))
    if too_low or too_high:
        raise Misfit(_range_in_words(least, no_least, most, no_most))
    step = number_of(rules.get("multipleOf"))
    if step is not None and step > 0 and number % step:
        raise Misfit(f"must be a multiple of {step}")


def _range_in_words(
    least: Decimal | None, no_least: bool, most: Decimal | None, no_most: bool
) -> str:
    if least is not None and most is not None and not (no_least or no_most):
        return f"must be between {least} and {most}"
    low = f"{'above' if no_least else 'at least'} {least}" if least is not None else ""
    high = f"{'below' if no_most else 'at most'} {most}" if most is not None else ""
    return f"must be {' and '.join(part for part in (low, high) if part)}"


def _check_string(value: Any, rules: Schema) -> None:
    if not isinstance(value, str):
        return
    _check_size(len(value), rules, "Length", "characters")
    pattern = rules.get("pattern")
    if isinstance(pattern, str):
        try:
            found = re.search(pattern, value)
        except re.error:
            found = None  # written for another dialect: the hub will judge
        else:
            if found is None:
                raise Misfit(f"must match {pattern}")
    is_url = rules.get("format") in ("uri", "url")
    if is_url and not re.match(r"[a-z][a-z0-9+.-]*:\S", value, re.IGNORECASE):
        raise Misfit("must be a URL (https://… or data:…)")


def _check_array(value: Any, rules: Schema) -> None:
    if not isinstance(value, list):
        return
    _check_size(len(value), rules, "Items", "items")
    if rules.get("uniqueItems") is True:
        for index, item in enumerate(value):
            if any(same(item, earlier) for earlier in value[:index]):
                raise Misfit(f"must not have {shown(item)} twice")


def _check_size(size: int, rules: Schema, noun: str, unit: str) -> None:
    least, most = number_of(rules.get(f"min{noun}")), number_of(rules.get(f"max{noun}"))
    if least is not None and size < least:
        raise Misfit(f"must have at least {least} {unit}")
    if most is not None and size > most:
        raise Misfit(f"must have at most {most} {unit}")


_CHECKS: tuple[Callable[[Any, Schema], None], ...] = (_check_number, _check_string, _check_array)


def _fit_items(value: list[Any], rules: Schema, root: Schema, depth: int) -> list[Any]:
    first = rules.get("prefixItems")
    first = first if isinstance(first, list) else []
    rest = rules.get("items")
    if isinstance(rest, list):  # draft 7's tuples
        first, rest = rest, rules.get("additionalItems")
    fitted: list[Any] = []
    for index, item in enumerate(value):
        try:
            fitted.append(fit(item, first[index] if index < len(first) else rest, root, depth + 1))
        except Misfit as misfit:  # noqa: PERF203 - the error needs the index
            raise misfit.below(f"[{index}]") from None
    return fitted


def _fit_properties(value: dict[str, Any], rules: Schema, root: Schema, depth: int) -> Any:
    properties = rules.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    for name in required_of(rules):
        if name not in value and "default" not in resolve(properties.get(name), root):
            raise Misfit("is missing", f".{name}")
    others = rules.get("additionalProperties")
    fitted: dict[str, Any] = {}
    for name, item in value.items():
        if name not in properties and others is False and not _patterned(name, rules):
            known = ", ".join(map(str, properties))
            raise Misfit(
                f"is not a field; known are {known}" if known else "is unknown", f".{name}"
            )
        try:
            fitted[name] = fit(item, properties.get(name, others), root, depth + 1)
        except Misfit as misfit:
            raise misfit.below(f".{name}") from None
    return fitted


def _patterned(name: str, rules: Schema) -> bool:
    patterns = rules.get("patternProperties")
    try:
        return any(re.search(pattern, name) for pattern in patterns or ())
    except (re.error, TypeError):
        return True
