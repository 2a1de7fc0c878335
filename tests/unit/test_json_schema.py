"""Schemas as hubs may write them: references, nulls, bounds, and patterns of other dialects."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference.catalog.json_fit import Misfit, fit
from oxen_inference.catalog.json_schema import allows_null, number_of, required_of, resolve


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("#/parts/1", {"type": "integer"}),
        ("#/parts/7", {}),
        ("#/parts/x", {}),
        ("#/defs/a~1b", {"type": "string"}),
        ("#/nothing", {}),
        ("https://elsewhere/schema.json", {}),
        ("#/parts", {}),
    ],
)
def test_a_reference_leads_to_a_schema_or_to_none(ref: str, found: dict[str, Any]) -> None:
    root = {"parts": [{"type": "null"}, {"type": "integer"}], "defs": {"a/b": {"type": "string"}}}
    assert resolve({"$ref": ref}, root) == found


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({"type": ["string", "null"]}, True),
        ({"nullable": True}, True),
        ({"enum": ["a", None]}, True),
        ({"const": None}, True),
        ({"enum": ["a"]}, False),
        ({"anyOf": [{"type": "string"}, {"$ref": "#/none"}]}, True),
        ({"$ref": "#/circle"}, False),
        ({"anyOf": [{"$ref": "#/circle"}]}, False),
    ],
)
def test_null_is_a_value_where_the_schema_says_so(rules: dict[str, Any], allowed: bool) -> None:
    root = {"none": {"type": "null"}, "circle": {"anyOf": [{"$ref": "#/circle"}]}}
    assert allows_null(rules, root) is allowed


@pytest.mark.parametrize("bound", ["many", True, None, [], "nan", "inf"])
def test_a_bound_that_is_no_number_binds_nothing(bound: Any) -> None:
    assert number_of(bound) is None
    assert fit(7, {"type": "integer", "maximum": bound}, {}) == 7


def test_a_mark_on_the_property_requires_it_too() -> None:
    rules = {"required": ["a", 7], "properties": {"b": {"required": True}, "c": {}, "d": "x"}}
    assert list(required_of(rules)) == ["a", "b"]
    assert list(required_of({"properties": "x"})) == []


def test_a_pattern_of_another_dialect_is_left_to_the_hub() -> None:
    assert fit("x", {"type": "string", "pattern": r"\p{L}+("}, {}) == "x"
    assert fit("ox", {"type": "string", "pattern": "^o"}, {}) == "ox"
    with pytest.raises(Misfit, match=r"must match \^o"):
        fit("cow", {"type": "string", "pattern": "^o"}, {})
    named = {"type": "object", "additionalProperties": False, "properties": {}}
    for patterns in ({r"\p{L}(": {}}, {"^x": {}}):
        assert fit({"x1": 1}, {**named, "patternProperties": patterns}, {}) == {"x1": 1}
    with pytest.raises(Misfit):
        fit({"y1": 1}, {**named, "patternProperties": {"^x": {}}}, {})


def test_items_that_must_differ_do() -> None:
    rules = {"type": "array", "uniqueItems": True}
    assert fit([1, True, "1"], rules, {}) == [1, True, "1"]
    with pytest.raises(Misfit, match=r"must not have 1\.0 twice"):
        fit([1, 2, 1.0], rules, {})


def kind(name: str, **properties: Any) -> dict[str, Any]:
    listed = {"kind": {"enum": [name]}, **properties}
    return {"type": "object", "properties": listed, "required": ["kind"]}


def test_what_is_wrong_inside_the_one_form_of_its_type_is_said() -> None:
    number = {"type": "integer", "minimum": 1}
    forms = {"anyOf": [{"type": "string"}, {"type": "array", "items": number}]}
    with pytest.raises(Misfit) as misfit:
        fit([1, 0], forms, {})
    assert (misfit.value.path, "1" in misfit.value.rule) == ("[1]", True)


def test_a_kind_that_two_forms_share_is_told_by_the_rest() -> None:
    seconds = {"type": "integer", "minimum": 1}
    forms = {"anyOf": [kind("a"), kind("b", n=seconds), kind("b", n={"const": "all"})]}
    assert fit({"kind": "b", "n": 3}, forms, {}) == {"kind": "b", "n": 3}
    with pytest.raises(Misfit, match="n "):
        fit({"kind": "b", "n": 0}, forms, {})
    with pytest.raises(Misfit, match="must be one of"):
        fit({"kind": "c"}, forms, {})
