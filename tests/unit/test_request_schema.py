"""Parameters are checked by whatever schema a model publishes, well made or not."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from oxen_inference.catalog.model_reading import read_model
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import quote
from oxen_inference.catalog.request_schema import arguments_model, parameters, validate
from oxen_inference.errors import InvalidInputError


def model_of(properties: Any, **rules: Any) -> Model:
    schema = {"type": "object", "properties": properties, **rules}
    return read_model({"id": "m", "request_schema": schema})


def fitted(spec: Any, value: Any, **rules: Any) -> Any:
    """`value` as `spec` has it, by both ways in, which must agree."""
    model = model_of({"x": spec}, **rules)
    answer = validate(model, {"x": value})
    assert arguments_model(model)(x=value).model_dump(exclude_none=True).get("x") == answer.get("x")
    return answer.get("x")


def refused(spec: Any, value: Any, **rules: Any) -> str:
    """Why `value` does not fit `spec`, by both ways in, which must agree."""
    model = model_of({"x": spec}, **rules)
    with pytest.raises(InvalidInputError) as caught:
        validate(model, {"x": value})
    with pytest.raises(ValidationError):
        arguments_model(model)(x=value)
    return str(caught.value)


ACCEPTED: list[tuple[Any, Any, Any]] = [
    # Numbers in other spellings of the same value
    ({"type": "integer"}, 5.0, 5),
    ({"type": "number"}, 5, 5),
    ({"type": "number", "enum": [24.0, 23.976]}, 24, 24.0),
    ({"type": "integer", "enum": [4, 6, 8]}, 8.0, 8),
    # Enums that disagree with their type
    ({"type": ["integer", "string"], "enum": ["auto", "4", "8"]}, 8, "8"),
    ({"type": ["integer", "string"], "enum": ["auto", "4", "8"]}, "8", "8"),
    ({"type": "integer", "enum": ["4", "8"]}, 8, "8"),
    ({"type": "string", "enum": ["4", "8", "12"]}, 8, "8"),
    ({"enum": [1, "two", 3.5, None, True]}, 3.5, 3.5),
    ({"type": "string", "enum": ["1"]}, 1, "1"),
    # Defaults are always accepted
    ({"type": "integer", "enum": [1, 2], "default": -1}, -1, -1),
    ({"type": "integer", "default": "auto"}, "auto", "auto"),
    ({"type": "integer", "minimum": 5, "default": 0}, 0, 0),
    # Bounds in both styles
    ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0.1, 0.1),
    ({"type": "number", "exclusiveMaximum": 1}, 0.9, 0.9),
    ({"type": "integer", "minimum": "1", "maximum": "10"}, 10, 10),
    # Combinations
    ({"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["auto"]}]}, "auto", "auto"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 5, 5),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 3, 3),
    ({"not": {"type": "string"}}, 3, 3),
    ({"const": "only"}, "only", "only"),
    ({"$ref": "#/definitions/Size"}, "1K", "1K"),
    ({"$ref": "#/nowhere"}, {"any": 1}, {"any": 1}),
    # Nested
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 2}, (1, 2.0), [1, 2]),
    ({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 2.0}, {"n": 2}),
    # No rules to speak of
    ({}, [1, {"a": None}], [1, {"a": None}]),
    (None, "x", "x"),
    ({"type": "file"}, "x", "x"),
    ({"type": 7, "enum": "x", "minimum": "low", "pattern": "("}, "x", "x"),
    ({"type": "string", "pattern": "(?<bad"}, "x", "x"),
    ({"type": "int"}, 3, 3),
    ({"type": "string", "format": "uri"}, "data:image/png;base64,AA", "data:image/png;base64,AA"),
]
REFUSED: list[tuple[Any, Any, str]] = [
    ({"type": "integer"}, 5.5, "must be a whole number"),
    ({"type": "integer"}, "5", "must be a whole number"),
    ({"type": "integer"}, True, "must be a whole number"),
    ({"type": "boolean"}, 1, "must be true or false"),
    ({"type": "boolean"}, "true", "must be true or false"),
    ({"type": "string"}, 5, "must be a string"),
    ({"type": "string"}, ["x"], "must be a string"),
    ({"type": "number"}, float("nan"), "finite"),
    ({"type": "number"}, float("inf"), "finite"),
    ({"type": "array", "items": {"type": "string"}}, "x", "must be a list"),
    ({"type": "array", "items": {"type": "string"}}, ["x", 2], "x[1] must be a string"),
    ({"type": "array", "maxItems": 1}, [1, 2], "at most 1 items"),
    ({"type": "array", "minItems": 1}, [], "at least 1 items"),
    ({"type": "array", "uniqueItems": True}, [1, 1.0], "twice"),
    ({"type": "integer", "enum": [4, 6, 8]}, 7, "must be one of 4, 6, 8, not 7"),
    ({"type": "integer", "enum": [4, 6, 8]}, "8", "must be one of 4, 6, 8"),
    ({"enum": [0, 1]}, False, "must be one of 0, 1"),
    ({"const": "only"}, "other", 'must be "only"'),
    ({"type": "integer", "minimum": 1, "maximum": 10}, 11, "between 1 and 10"),
    ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0, "above 0"),
    ({"type": "number", "exclusiveMaximum": 1}, 1, "below 1"),
    ({"type": "number", "multipleOf": 0.1}, 0.25, "multiple of 0.1"),
    ({"type": "string", "minLength": 3}, "ab", "at least 3 characters"),
    ({"type": "string", "maxLength": 3}, "abcd", "at most 3 characters"),
    ({"type": "string", "pattern": "^a"}, "b", "must match ^a"),
    ({"type": "string", "format": "uri"}, "./cat.png", "must be a URL"),
    ({"anyOf": [{"type": "integer"}, {"enum": ["auto"]}]}, "fast", "whole number or must be"),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 2, "at least 3"),
    ({"not": {"type": "string"}}, "x", "must not"),
    ({"$ref": "#/definitions/Size"}, "9K", 'must be one of "1K", "2K"'),
    (
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        {},
        "x.n is missing",
    ),
    (
        {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False},
        {"m": 1},
        "x.m is not a field",
    ),
]
DEFINITIONS = {"Size": {"type": "string", "enum": ["1K", "2K"]}}


@pytest.mark.parametrize(("spec", "value", "expected"), ACCEPTED)
def test_a_value_that_fits_takes_the_schemas_form(spec: Any, value: Any, expected: Any) -> None:
    answer = fitted(spec, value, definitions=DEFINITIONS)
    assert answer == expected
    assert type(answer) is type(expected) or isinstance(expected, bool | int | float)


@pytest.mark.parametrize(("spec", "value", "reason"), REFUSED)
def test_a_value_that_does_not_fit_is_refused_in_words(spec: Any, value: Any, reason: str) -> None:
    said = refused(spec, value, definitions=DEFINITIONS)
    assert reason in said
    assert said.startswith("m cannot be called like this: x")


def test_checking_twice_changes_nothing() -> None:
    for spec, value, expected in ACCEPTED:
        model = model_of({"x": spec}, definitions=DEFINITIONS)
        once = validate(model, {"x": value})
        assert validate(model, once) == once == {"x": expected}


def test_a_null_counts_as_left_out_unless_it_means_something() -> None:
    plain = {"type": "string"}
    assert validate(model_of({"x": plain}), {"x": None}) == {}
    assert validate(model_of({"x": {**plain, "nullable": True}}), {"x": None}) == {}
    assert validate(read_model({"id": "m"}), {"x": None}) == {}  # nothing is known of its fields
    off = {**plain, "nullable": True, "default": "blurry"}
    assert validate(model_of({"x": off}), {"x": None}) == {"x": None}
    for required in ({**plain}, {**plain, "default": None}):
        with pytest.raises(InvalidInputError, match="x is missing"):
            validate(model_of({"x": required}, required=["x"]), {"x": None})


@pytest.mark.parametrize(
    "seed",
    [
        {"type": ["integer", "null"]},
        {"type": "integer", "nullable": True},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ],
)
def test_a_required_parameter_may_be_null_where_its_schema_says_so(seed: Any) -> None:
    model = model_of({"seed": seed, "size": {"type": "integer"}}, required=["seed"])
    assert validate(model, {"seed": None}) == {"seed": None}
    with pytest.raises(InvalidInputError, match="seed is missing"):
        validate(model, {})
    cls = arguments_model(model)
    given = cls.model_validate({"seed": None}).model_dump()
    assert cls.to_params(given) == {"seed": None}
    jsonschema.validate({"seed": None}, cls.model_json_schema())
    with pytest.raises(ValidationError):
        cls.model_validate({})


def test_an_unknown_name_is_refused_with_the_closest_one() -> None:
    model = model_of({"resolution": {"type": "string"}, "prompt": {"type": "string"}})
    with pytest.raises(InvalidInputError, match=r"resolutoin .* \(did you mean resolution\?\)"):
        validate(model, {"resolutoin": "720p"})
    with pytest.raises(ValidationError, match=r"did you mean resolution\?"):
        arguments_model(model)(resolutoin="720p")
    assert validate(model_of({"a": {}}, additionalProperties=True), {"b": 1}) == {"b": 1}
    with pytest.raises(InvalidInputError, match=r"generate_audio is not one of its parameters\."):
        validate(model, {"generate_audio": True})


ADDRESSES = [
    {"type": "string", "format": "uri"},
    {"type": "string", "renderType": "image-url"},
    {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
]


@pytest.mark.parametrize("spec", ADDRESSES)
@pytest.mark.parametrize(
    "value", ["ox.png", "./in/ox.JPG", "C:\\oxen\\ox.png", "/tmp/ox.mp4", "file:///tmp/ox", "~/moo.wav"]
)  # fmt: skip
def test_a_local_file_is_no_address(spec: Any, value: str) -> None:
    model = model_of({"image": spec, "prompt": {"type": "string"}}, required=["prompt"])
    with pytest.raises(InvalidInputError) as caught:
        validate(model, {"image": value})
    assert caught.value.hint == "Pass a URL, a data URL, or a pathlib.Path with allow_paths=True."
    assert "image must be a URL, not the local file" in str(caught.value)
    plain = model_of({"image": {"type": "string"}})
    assert validate(plain, {"image": value}) == {"image": value}


@pytest.mark.parametrize("spec", ADDRESSES)
@pytest.mark.parametrize(
    "value", ["https://x.test/ox.png", "data:image/png;base64,b3g=", "s3://a/b.png"]
)
def test_an_address_is_none(spec: Any, value: str) -> None:
    model = model_of({"image": spec, "images": {"type": "array", "items": spec}})
    params = {"image": value, "images": [value]}
    assert validate(model, params) == params


def test_a_file_that_is_there_is_found_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "moo"
    file.write_bytes(b"ox")
    listed = {"type": "array", "renderType": "image-url", "items": {"type": "string"}}
    inside = {"type": "object", "properties": {"image_url": ADDRESSES[1]}}
    model = model_of({"images": listed, "element": inside, "image": ADDRESSES[1]})
    for params in (
        {"images": ["https://x.test/a", str(file)]},
        {"element": {"image_url": str(file)}},
        {"image": file},
        {"image": b"ox"},
        {"image": bytearray(b"ox")},
    ):
        with pytest.raises(InvalidInputError, match=r"a pathlib\.Path"):
            validate(model, params)
    for no_file in ("an id of the hub", "~nobody-of-this-name/ox", "x" * 1000):
        assert validate(model, {"image": no_file}) == {"image": no_file}


def test_what_belongs_to_every_request_is_never_unknown() -> None:
    common = {
        "target_namespace": "ox-lab",
        "target_repo": "films",
        "target_directory": "today",
        "response_format": "b64_json",
        "num_generations": 4,
        "model": "m",
    }
    assert validate(model_of({"prompt": {"type": "string"}}), common) == common
    for count in (0, 5, "2", True):
        with pytest.raises(InvalidInputError, match="num_generations must be"):
            validate(model_of({"prompt": {}}), {"num_generations": count})


def test_every_problem_is_named_at_once() -> None:
    model = model_of({"prompt": {"type": "string"}, "n": {"type": "integer"}}, required=["prompt"])
    with pytest.raises(InvalidInputError) as caught:
        validate(model, {"n": "many", "size": 1})
    assert all(part in str(caught.value) for part in ("n must be", "size is not", "prompt is miss"))
    assert validate(model, {"n": 1}, partial=True) == {"n": 1}


def test_a_required_prompt_may_not_be_empty_whatever_its_default() -> None:
    model = model_of({"prompt": {"type": "string", "default": ""}}, required=["prompt"])
    for params in ({}, {"prompt": None}):
        with pytest.raises(InvalidInputError, match="prompt is missing"):
            validate(model, params)
    for empty in ("", "  "):
        with pytest.raises(InvalidInputError, match="prompt cannot be empty"):
            validate(model, {"prompt": empty})
    assert arguments_model(model).model_json_schema()["required"] == ["prompt"]
    optional = model_of({"prompt": {"type": "string", "default": ""}})
    assert validate(optional, {"prompt": ""}) == {"prompt": ""}
    has_default = model_of(
        {"creativity": {"type": "number", "default": 0.5}}, required=["creativity"]
    )
    assert validate(has_default, {}) == {}


def test_prompt_and_multi_prompt_exclude_each_other() -> None:
    model = model_of({"prompt": {"type": "string"}, "multi_prompt": {"type": "array"}})
    assert validate(model, {"prompt": "x"}) == {"prompt": "x"}
    assert validate(model, {"multi_prompt": [{"prompt": "x"}]}) == {
        "multi_prompt": [{"prompt": "x"}]
    }
    with pytest.raises(InvalidInputError, match="both prompt and multi_prompt"):
        validate(model, {"prompt": "x", "multi_prompt": [{"prompt": "x"}]})
    with pytest.raises(InvalidInputError, match="either prompt or multi_prompt"):
        validate(model, {})
    arguments_model(model, pinned=["multi_prompt"])(prompt="x")


def test_a_schema_in_parts_is_one_schema() -> None:
    model = read_model(
        {
            "id": "m",
            "request_schema": {
                "$ref": "#/$defs/Input",
                "$defs": {
                    "Input": {
                        "allOf": [
                            {"properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
                            {"$ref": "#/$defs/Sized"},
                        ]
                    },
                    "Sized": {"properties": {"size": {"$ref": "#/$defs/Size"}}},
                    "Size": {"type": "string", "enum": ["S", "L"]},
                },
            },
        }
    )
    assert list(parameters(model).fields) == ["prompt", "size"]
    assert validate(model, {"prompt": "x", "size": "L"}) == {"prompt": "x", "size": "L"}
    with pytest.raises(InvalidInputError, match='size must be one of "S", "L"'):
        validate(model, {"prompt": "x", "size": "M"})
    schema = arguments_model(model).model_json_schema()
    assert "$ref" not in json.dumps(schema)
    assert schema["properties"]["size"]["enum"] == ["S", "L"]


def _form(kind: str, **fields: Any) -> Any:
    return {"type": "object", "properties": {"kind": {"const": kind}, **fields},
            "required": ["kind", *fields]}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"kind": "b"}, "x.y is missing"),
        ({"kind": "b", "y": 1}, "x.y must be a string"),
        ({"kind": "a", "z": "1"}, "x.z must be a whole number"),
        ({"kind": "c"}, 'x.kind must be one of "a", "b"'),
        ({"y": "1"}, 'x.kind is missing: must be one of "a", "b"'),
        (3, "x must be a string or must be an object"),
    ],
)
def test_a_form_is_refused_by_the_one_it_was_meant_for(value: Any, reason: str) -> None:
    forms = [
        {"type": "string"},
        _form("a", z={"type": "integer"}),
        _form("b", y={"type": "string"}),
    ]
    assert reason in refused({"oneOf": forms}, value)


def test_a_form_is_told_by_the_one_field_that_differs() -> None:
    note = {"note": {"type": "string"}}
    first, second = _form("a", z={"type": "integer"}), _form("b", y={"type": "string"})
    forms = [{**form, "properties": {**note, **form["properties"]}} for form in (first, second)]
    assert "x.y must be a string" in refused({"anyOf": forms}, {"kind": "b", "y": 1})


def test_a_form_of_another_type_says_nothing_about_the_inside() -> None:
    items = {"type": "array", "items": {"type": "integer", "minimum": 1}}
    text = {"type": "string", "allOf": [{"items": {"type": "boolean"}}]}
    reason = refused({"anyOf": [text, items]}, [0])
    assert "x[0] must be at least 1" in reason
    assert "boolean" not in reason


def test_an_agents_arguments_are_an_object() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        arguments_model(model_of({"x": {"type": "string"}})).model_validate("an ox")


def test_forms_that_nothing_tells_apart_are_all_listed() -> None:
    forms = [{"type": "object", "required": [name]} for name in ("image", "video")]
    reason = refused({"anyOf": forms}, {})
    assert "x fits none of its forms: image is missing or video is missing" in reason
    sizes = {"anyOf": [{"type": "integer", "maximum": 12}, {"const": "auto"}]}
    assert 'x must be at most 12 or must be "auto"' in refused(sizes, 13)


def test_a_parameter_of_several_parts_is_all_they_say() -> None:
    both = model_of({}, allOf=[{"properties": {"n": {"type": "integer"}}},
                               {"properties": {"n": {"maximum": 4, "default": 2}}}])  # fmt: skip
    assert parameters(both).default("n") == 2
    assert validate(both, {"n": 4}) == {"n": 4}
    for wrong in (5, "four"):
        with pytest.raises(InvalidInputError, match="n must be"):
            validate(both, {"n": wrong})
    short = {"properties": {"mode": {"const": "a"}, "n": {"type": "integer", "maximum": 5}}}
    long = {"properties": {"mode": {"const": "b"}, "n": {"type": "integer", "maximum": 10}}}
    either = model_of({}, anyOf=[short, long])
    assert validate(either, {"mode": "b", "n": 8}) == {"mode": "b", "n": 8}
    with pytest.raises(InvalidInputError):
        validate(either, {"mode": "b", "n": 11})


def test_alternatives_of_the_whole_are_checked_together() -> None:
    model = model_of(
        {"image": {"type": "string"}, "video": {"type": "string"}},
        anyOf=[{"required": ["image"]}, {"required": ["video"]}],
    )
    assert validate(model, {"video": "x"}) == {"video": "x"}
    with pytest.raises(InvalidInputError, match="is missing"):
        validate(model, {})
    assert validate(model, {}, partial=True) == {}


def test_a_default_that_is_no_json_is_none() -> None:
    schema = {"strength": {"type": "number", "default": float("nan")}, "image": {"type": "string"}}
    assert validate(model_of(schema), {"image": "x"}) == {"image": "x"}
    model = model_of(schema, anyOf=[{"required": ["image"]}, {"required": ["video"]}])
    assert validate(model, {"image": "x"}) == {"image": "x"}
    shown = arguments_model(model).model_json_schema()
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_circles_of_references_end() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
    }
    model = model_of(
        {"tree": {"$ref": "#/$defs/Tree"}, "loop": {"$ref": "#/$defs/A"}},
        **{"$defs": {"Tree": tree, "A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
    )
    given_tree = {"children": [{"children": []}]}
    assert validate(model, {"tree": given_tree, "loop": 1}) == {"tree": given_tree, "loop": 1}
    json.dumps(arguments_model(model).model_json_schema())
    ouroboros = {"anyOf": [{"$ref": "#/properties/x"}]}
    assert validate(model_of({"x": ouroboros}), {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    "schema",
    [None, {}, {"type": "object"}, {"properties": "none"}, {"properties": []}, {"$ref": 3}],
)
def test_without_a_readable_schema_everything_passes_and_that_is_said(schema: Any) -> None:
    model = read_model({"id": "m", "request_schema": schema})
    assert validate(model, {"prompt": "x", "anything": [1]}) == {"prompt": "x", "anything": [1]}
    note = parameters(model).note
    assert note is not None
    assert note in (arguments_model(model).__doc__ or "")
    given_args = arguments_model(model)(prompt="x", anything=[1])
    assert given_args.model_dump(exclude_none=True) == {"prompt": "x", "anything": [1]}


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


def test_names_inside_an_argument_fit_every_provider_and_come_back_as_they_are() -> None:
    longest = "x" * 70
    inside = {
        "type": "object",
        "properties": {
            "a b": {"type": "string"},
            "a_b": {"type": "string"},
            "ü": {"type": "integer"},
            "": {"type": "integer"},
            longest: {"type": "object", "properties": {"größe": {"type": "string"}}},
            f"{longest}y": {"type": "string"},
            "fine.name-1": {"type": "string"},
        },
        "required": ["a b", longest],
        "additionalProperties": False,
    }
    wire = {
        "a b": "1", "a_b": "2", "ü": 3, "": 4, longest: {"größe": "5"}, f"{longest}y": "6",
        "fine.name-1": "7",
    }  # fmt: skip
    model = model_of(
        {
            "one": inside,
            "many": {"type": "array", "items": {"anyOf": [inside, {"type": "null"}]}},
            "default": {"type": "object", "default": {"a b": 1}},
        }
    )
    cls = arguments_model(model)
    shown = cls.model_json_schema()["properties"]
    assert all(re.fullmatch("[a-zA-Z0-9_.-]{1,64}", name) for name in names_in(shown))
    one = shown["one"]
    assert len(one["properties"]) == len(wire)
    assert set(one["required"]) <= one["properties"].keys()
    assert {"a_b", "fine.name-1"} <= one["properties"].keys()
    said: dict[str, Any] = dict(zip(one["properties"], wire.values(), strict=True))
    (deep,) = (spec for spec in one["properties"].values() if spec["type"] == "object")
    said[next(name for name, value in said.items() if value == {"größe": "5"})] = {
        next(iter(deep["properties"])): "5"
    }
    for names in (said, wire):
        answer = cls.to_params(cls(one=names, many=[names]).model_dump())
        assert answer == {"one": wire, "many": [wire]}


def names_in(properties: Any) -> list[str]:
    """The names of properties at every level of a schema."""
    found = list(properties)
    for spec in properties.values():
        inner = [spec, spec.get("items", {}), *spec.get("items", {}).get("anyOf", [])]
        for one in inner:
            found += names_in(one.get("properties", {}))
        found += list(spec.get("default") or {}) if isinstance(spec.get("default"), dict) else []
    return found


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (
            {"type": ["integer", "string"], "maximum": 9, "maxLength": 4, "default": 5},
            {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "string", "maxLength": 4}], "default": 5},
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
                    "exclusiveMinimum": True,
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
        "strength": {"type": "number", "exclusiveMinimum": 0, "default": 1},
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


@pytest.mark.parametrize("rule", ["allOf", "anyOf", "oneOf"])
def test_a_circle_of_alternatives_does_not_multiply(rule: str) -> None:
    again = [{"$ref": "#/$defs/D"} for _ in range(3)]
    around = {rule: again, "type": "object", "properties": {"x": {"$ref": "#/$defs/D"}}}
    nested = {"id": "m", "request_schema": {"properties": {"d": again[0]}, "$defs": {"D": around}}}
    whole = {"id": "m", "request_schema": {**around, "$defs": {"D": around}}}
    started = time.perf_counter()
    assert validate(read_model(nested), {"d": {"x": {}}}) == {"d": {"x": {}}}
    assert list(parameters(read_model(whole)).fields) == ["x"]
    assert quote(read_model({**nested, "pricing": {"cost_per_image": 1}}), {}).high == 1
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("tuple_of", "items"),
    [
        ({"items": [{"type": "integer"}, {"type": "integer"}]}, {"type": "integer"}),
        ({"prefixItems": [{"type": "integer"}]}, {"type": "integer"}),
        (
            {"prefixItems": [{"type": "integer"}, {"$ref": "#/definitions/S"}]},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        (
            {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
    ],
)
def test_a_tuple_is_advertised_as_what_its_items_may_be(tuple_of: Any, items: Any) -> None:
    model = model_of({"t": {"type": "array", **tuple_of}}, definitions={"S": {"type": "string"}})
    schema = arguments_model(model).model_json_schema()
    assert schema["properties"]["t"]["items"] == items
    assert validate(model, {"t": [1]}) == {"t": [1]}


_NAMES = st.sampled_from(
    ["type", "enum", "const", "default", "minimum", "maximum", "exclusiveMinimum", "items",
     "properties", "required", "anyOf", "oneOf", "allOf", "not", "$ref", "nullable", "pattern",
     "minLength", "maxItems", "format", "additionalProperties", "x-order", "x-hidden", "basic",
     "multipleOf", "description", "patternProperties", "prefixItems"]
)  # fmt: skip
_VALUES = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["integer", "string", "array", "object", "null", "#", "#/properties/x", "^a"])
)  # fmt: skip
_GARBAGE = st.recursive(
    _VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.just("x"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(spec=st.dictionaries(_NAMES, _GARBAGE, max_size=6), value=_GARBAGE, rules=_GARBAGE)
@settings(max_examples=150, deadline=None)
def test_no_schema_however_odd_crashes(spec: Any, value: Any, rules: Any) -> None:
    root = {**(rules if isinstance(rules, dict) else {}), "properties": {"x": spec}}
    model = read_model({"id": "m", "request_schema": root})
    cls = arguments_model(model)
    schema = cls.model_json_schema()
    assert schema["type"] == "object"
    assert "$ref" not in schema["properties"].get("x", {})
    try:
        answer = validate(model, {"x": value})
    except InvalidInputError:
        return
    assert set(answer) <= {"x"}


@given(
    spec=st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number", "string", "boolean"])},
        optional={
            "minimum": st.integers(-3, 3),
            "maximum": st.integers(-3, 3),
            "exclusiveMinimum": st.integers(-3, 3),
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
        },
    ),
    value=st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_plain_schemas_are_judged_as_the_reference_implementation_does(
    spec: dict[str, Any], value: Any
) -> None:
    if value is None:
        return  # ours: a null counts as left out
    model = model_of({"x": spec})
    valid = jsonschema.Draft202012Validator(spec).is_valid(value)
    if valid:
        assert validate(model, {"x": value}) == {"x": value}
    else:
        with pytest.raises(InvalidInputError):
            validate(model, {"x": value})
