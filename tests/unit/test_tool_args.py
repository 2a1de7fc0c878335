"""What agents read of a model's parameters, and how their arguments become a request."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.tool_args import arguments_model
from tests.unit.test_parameters import model_of


def test_an_agents_arguments_are_an_object() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        arguments_model(model_of({"x": {"type": "string"}})).model_validate("an ox")


def test_basic_parameters_come_first_and_hidden_ones_not_at_all() -> None:
    model = model_of(
        {
            "seed": {"type": "integer", "x-order": 1},
            "secret": {"type": "string", "x-hidden": True},
            "needed": {"type": "string", "x-hidden": True},
            "size": {"type": "string", "x-order": 3},
            "prompt": {"type": "string", "x-order": 2},
            "target_repo": {"type": "string"},
        },
        basic=["size", "prompt", "gone"],
        required=["needed"],
    )
    shown = list(arguments_model(model).model_json_schema()["properties"])
    assert shown == ["prompt", "size", "seed", "needed", "num_generations"]
    assert validate(model, {"secret": "x", "needed": "y"}) == {"secret": "x", "needed": "y"}
    pinned = arguments_model(model, pinned=["needed", "seed"], common=())
    assert list(pinned.model_json_schema()["properties"]) == ["prompt", "size"]
    with pytest.raises(ValidationError, match="seed is not one of its parameters"):
        pinned(seed=1)


def test_names_that_python_or_pydantic_uses_are_renamed_there_and_back() -> None:
    wire = [
        "class",
        "model_config",
        "json",
        "guidance-scale",
        "2x",
        "_hidden",
        "copy",
        "a b",
        "a_b",
    ]
    model = model_of({name: {"type": "integer"} for name in wire}, required=["json"])
    cls = arguments_model(model)
    shown = list(cls.model_json_schema()["properties"])
    assert len(set(shown)) == len(wire) + 1
    assert all(
        name.isidentifier() and not hasattr(object, name) for name in shown if name != "class"
    )
    by_wire = cls(**dict.fromkeys(wire, 1))
    by_field = cls(**{name: 1 for name in shown if name != "num_generations"})
    assert by_wire == by_field
    assert cls.to_params(by_field.model_dump()) == dict.fromkeys(wire, 1)
    assert set(by_wire.model_dump(by_alias=True, exclude_none=True)) == set(wire)


@pytest.mark.parametrize("name", ["self", "ctx"])
def test_names_that_a_call_of_a_tool_takes_are_renamed(name: str) -> None:
    cls = arguments_model(model_of({name: {"type": "string"}}))
    assert name not in cls.model_json_schema()["properties"]
    assert cls.to_params(cls(**{f"{name}_": "x"}).model_dump()) == {name: "x"}


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (
            {"type": ["integer", "string"], "maximum": 9, "default": 5},
            {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "string"}], "default": 5},
        ),
        (
            {"enum": ["auto", 5, 10]},
            {"anyOf": [{"type": "integer", "enum": [5, 10]}, {"type": "string", "enum": ["auto"]}]},
        ),
        (
            {"type": ["array", "string"], "items": {"type": "integer"}},
            {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]},
        ),
        ({"enum": [1, 1.5]}, {"type": "number", "enum": [1, 1.5]}),
        ({"type": ["string", "null"]}, {"type": "string"}),
    ],
)  # fmt: skip
def test_agents_see_alternatives_where_a_value_may_be_of_several_types(
    spec: Any, shown: Any
) -> None:
    field = arguments_model(model_of({"x": spec})).model_json_schema()["properties"]["x"]
    assert {name: rule for name, rule in field.items() if name != "title"} == shown


def test_a_required_null_is_one_of_the_alternatives() -> None:
    model = model_of(
        {"x": {"enum": ["a", None]}, "y": {"type": ["string", "null"]}}, required=["x", "y"]
    )
    fields = arguments_model(model).model_json_schema()["properties"]
    assert fields["x"]["anyOf"] == [{"type": "null"}, {"type": "string", "enum": ["a"]}]
    assert fields["y"]["anyOf"] == [{"type": "null"}, {"type": "string"}]


def test_the_schema_agents_see_is_plain() -> None:
    cls = arguments_model(
        model_of(
            {
                "prompt": {"type": "string", "description": "Words.", "x-order": 0},
                "image": {"type": "string", "format": "uri", "nullable": True},
                "sizes": {"type": "array"},
                "mode": {"enum": ["a", None]},
                "strength": {
                    "type": "number",
                    "minimum": 0,
                    "default": 1,
                },
                "duration": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "shots": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"prompt": {"type": "string", "x-order": 1}},
                        "required": ["prompt"],
                    },
                },
            },
            required=["prompt"],
        ),
        common=(),
    )
    fields = {
        name: {k: v for k, v in field.items() if k != "title"}
        for name, field in cls.model_json_schema()["properties"].items()
    }
    assert fields == {
        "prompt": {"type": "string", "description": "Words."},
        "image": {"type": "string", "description": "A URL."},
        "sizes": {"type": "array", "items": {"type": "string"}},
        "mode": {"type": "string", "enum": ["a"]},
        "strength": {"type": "number", "minimum": 0, "default": 1},
        "duration": {"type": "integer"},
        "shots": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"prompt": {"type": "string"}},
                "required": ["prompt"],
            },
        },
    }


def test_a_field_of_an_object_whose_name_providers_refuse_is_left_out() -> None:
    inside = {"type": "object", "properties": {"fine.name-1": {}, "a b": {}, "größe": {}},
              "required": ["a b", "fine.name-1"]}  # fmt: skip
    shown = arguments_model(model_of({"x": inside})).model_json_schema()["properties"]["x"]
    assert list(shown["properties"]) == shown["required"] == ["fine.name-1"]
