"""Parameters are checked by whatever schema a model publishes, well made or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.parameters import parameters, validate
from oxen_inference.catalog.reading import read_model
from oxen_inference.catalog.schema import allows_null, unread_keywords
from oxen_inference.catalog.tool_args import arguments_model
from oxen_inference.errors import InvalidInputError


def model_of(properties: Any, **rules: Any) -> Model:
    schema = {"type": "object", "properties": properties, **rules}
    return read_model({"id": "m", "request_schema": schema})


def coerced(spec: Any, value: Any) -> Any:
    """`value` in the form of `spec`, by both ways in, which must agree."""
    model = model_of({"x": spec})
    answer = validate(model, {"x": value})
    assert arguments_model(model)(x=value).model_dump(exclude_none=True).get("x") == answer.get("x")
    return answer.get("x")


def refused(spec: Any, value: Any) -> str:
    """Why `value` does not fit `spec`, by both ways in, which must agree."""
    model = model_of({"x": spec})
    with pytest.raises(InvalidInputError) as caught:
        validate(model, {"x": value})
    with pytest.raises(ValidationError):
        arguments_model(model)(x=value)
    return str(caught.value)


NO_BOUNDS = ("many", True, None, [], "nan", "inf", "1e99999999", "-1e99999999")
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
    # Bounds, also as strings; what is no number binds nothing
    ({"type": "integer", "minimum": "1", "maximum": "10"}, 10, 10),
    *(({"type": "integer", "maximum": no_bound}, 7, 7) for no_bound in NO_BOUNDS),
    # Combinations
    ({"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["auto"]}]}, "auto", "auto"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 5.0, 5),
    ({"const": "only"}, "only", "only"),
    # Nested
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 2}, (1, 2.0), [1, 2]),
    ({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 2.0}, {"n": 2}),
    ({"type": "object", "properties": {"n": {}}}, {"other": 1}, {"other": 1}),
    # One item for a list is a list of one, unless it fits as it is
    ({"type": "array", "items": {"type": "string", "format": "uri"}}, "http://x/a", ["http://x/a"]),
    ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}, 2.0, [2]),
    ({"anyOf": [{"type": "array"}, {"type": "string"}]}, "x", "x"),
    ({"type": ["array", "string"]}, "x", "x"),
    # No rules to speak of
    ({}, [1, {"a": None}], [1, {"a": None}]),
    (None, "x", "x"),
    ({"type": "file"}, "x", "x"),
    ({"type": 7, "enum": "x", "minimum": "low"}, "x", "x"),
    ({"type": "int"}, "three", "three"),
    # Keywords that are not read restrict nothing
    ({"$ref": "#/definitions/Size"}, {"any": 1}, {"any": 1}),
    ({"oneOf": [{"type": "integer"}]}, "x", "x"),
    ({"allOf": [{"type": "integer"}]}, "x", "x"),
    ({"not": {"type": "string"}}, "x", "x"),
    ({"type": "string", "pattern": "^(a+)+$", "minLength": 99}, "a" * 40 + "!", "a" * 40 + "!"),
    ({"type": "number", "multipleOf": 2, "exclusiveMaximum": 1}, 3, 3),
    ({"type": "array", "uniqueItems": True, "minItems": 9}, [1, 1], [1, 1]),
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
    ({"type": "array", "items": {"type": "string"}}, '["x"]', "must be a list"),
    ({"type": "array", "items": {"type": "string"}}, 7, "must be a string, not 7"),
    (
        {"type": "array", "items": {"type": "string"}, "enum": [["x"]]},
        "data:image/png;base64,AAAA",
        "must be ['x'], not \"data:image/png,…\"",
    ),
    ({"type": "array", "items": {"type": "string"}}, ["x", 2], "x[1] must be a string"),
    ({"type": "array", "maxItems": 1}, [1, 2], "at most 1 items"),
    ({"type": "integer", "enum": [4, 6, 8]}, 7, "must be one of 4, 6, 8, not 7"),
    ({"type": "integer", "enum": [4, 6, 8]}, "8", "must be one of 4, 6, 8"),
    ({"enum": [0, 1]}, False, "must be one of 0, 1"),
    ({"const": "only"}, "other", 'must be "only"'),
    ({"type": "integer", "minimum": 1, "maximum": 10}, 11, "between 1 and 10"),
    ({"type": "number", "minimum": 0.5}, 0.4, "at least 0.5"),
    ({"type": "number", "maximum": 1}, 1.1, "at most 1"),
    ({"type": "string", "format": "uri"}, "./cat.png", "must be a URL"),
    ({"anyOf": [{"type": "integer"}, {"enum": ["auto"]}]}, "fast", "whole number or must be"),
    (
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        {},
        "x.n is missing",
    ),
]


@pytest.mark.parametrize(("spec", "value", "expected"), ACCEPTED)
def test_a_value_that_fits_takes_the_schemas_form(spec: Any, value: Any, expected: Any) -> None:
    answer = coerced(spec, value)
    assert answer == expected
    assert type(answer) is type(expected) or isinstance(expected, bool | int | float)


@pytest.mark.parametrize(("spec", "value", "reason"), REFUSED)
def test_a_value_that_does_not_fit_is_refused_in_words(spec: Any, value: Any, reason: str) -> None:
    text = refused(spec, value)
    assert reason in text
    assert text.startswith("m cannot be called like this: x")


def test_checking_twice_changes_nothing() -> None:
    for spec, value, expected in ACCEPTED:
        model = model_of({"x": spec})
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
    said = r"generate_audio is not one of its parameters \(it takes resolution, prompt\)\."
    with pytest.raises(InvalidInputError, match=said):
        validate(model, {"generate_audio": True})
    many = model_of({f"of_{number}": {} for number in range(20)})
    with pytest.raises(InvalidInputError, match=r"\(it takes of_0, .*, of_11, …\)\."):
        validate(many, {"generate_audio": True})


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("size", ("prompt", "width", "height"), "use width or height"),
        ("size", ("aspect_ratio", "resolution"), "use aspect_ratio or resolution"),
        ("width", ("image_size",), "use image_size"),
        ("n", ("prompt",), "use num_generations"),
        ("seconds", ("duration",), "use duration"),
        ("steps", ("num_inference_steps",), "use num_inference_steps"),
    ],
)
def test_what_other_apis_call_a_parameter_leads_to_the_models_own(
    name: str, fields: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        validate(model_of({field: {} for field in fields}), {name: "1"})


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
        "target_repo": "oxen",
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


@pytest.mark.parametrize(
    ("forms", "value", "reason"),
    [
        ([{"type": "integer", "maximum": 12}, {"const": "auto"}], 13, 'x must be at most 12 or must be "auto"'),
        ([{"type": "string"}, {"type": "object"}], 3, "x must be a string or must be an object"),
        ([{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 1}}], [1, 0],
         "x[1] must be at least 1"),
        ([{"type": "object", "required": [name]} for name in ("image", "video")], {},
         "x fits none of its forms: image is missing or video is missing"),
    ],
)  # fmt: skip
def test_a_value_of_no_form_is_refused_by_the_one_of_its_type_or_by_all(
    forms: Any, value: Any, reason: str
) -> None:
    assert reason in refused({"anyOf": forms}, value)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({"type": ["string", "null"]}, True),
        ({"nullable": True}, True),
        ({"enum": ["a", None]}, True),
        ({"const": None}, True),
        ({"enum": ["a"]}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
    ],
)
def test_null_is_a_value_where_the_schema_says_so(rules: dict[str, Any], allowed: bool) -> None:
    assert allows_null(rules) is allowed


@pytest.mark.parametrize(
    ("schema", "unread"),
    [
        ({"type": "integer", "minimum": 1, "default": 2, "description": "n", "x-order": 1}, []),
        ({"type": "integer", "multipleOf": 2, "unit": "minutes"}, ["multipleOf", "unit"]),
        ({"type": "file"}, ["type"]),
        ({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]}, ["$ref"]),
        ("integer", []),
    ],
)
def test_keywords_that_are_not_read_are_known(schema: Any, unread: list[str]) -> None:
    assert unread_keywords(schema) == unread


def test_a_default_that_is_no_json_is_none() -> None:
    schema = {"strength": {"type": "number", "default": float("nan")}, "image": {"type": "string"}}
    model = model_of(schema)
    assert validate(model, {"image": "x"}) == {"image": "x"}
    shown = arguments_model(model).model_json_schema()
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


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
@example(spec={"const": {"$ref": ""}}, value=None, rules=None)
@example(spec={"enum": ["ox", [{"$ref": "#"}]], "default": {"$ref": ""}}, value="ox", rules=None)
@example(spec={"const": {"$defs": None}}, value=None, rules=None)
@settings(max_examples=150, deadline=None)
def test_no_schema_however_odd_crashes(spec: Any, value: Any, rules: Any) -> None:
    root = {**(rules if isinstance(rules, dict) else {}), "properties": {"x": spec}}
    model = read_model({"id": "m", "request_schema": root})
    cls = arguments_model(model)
    schema = cls.model_json_schema()
    assert schema["type"] == "object"
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
