"""The parameter schemas of real models: every documented value accepted, every other refused.

The schemas are those of the published documentation; they are not part of the project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.pricing import quote
from oxen_inference.catalog.reading import read_model
from oxen_inference.catalog.tool_args import arguments_model
from oxen_inference.errors import InvalidInputError
from tests.conftest import PUBLISHED

_FACTS = PUBLISHED / "catalog-facts.json"
_ROWS = json.loads(_FACTS.read_text(encoding="utf-8")) if _FACTS.is_file() else []
_DOCUMENTED = [row for row in _ROWS if row["request_schema"]]

pytestmark = pytest.mark.skipif(
    not _DOCUMENTED, reason="the published contract is not part of the repository"
)


@pytest.fixture(params=_DOCUMENTED or [None], ids=lambda row: row["id"] if row else "absent")
def model(request: pytest.FixtureRequest) -> Model:
    return read_model({**request.param, "endpoint": request.param["page_endpoint"]})


@cache
def arguments(model_id: str) -> Any:
    row = next(row for row in _DOCUMENTED if row["id"] == model_id)
    return arguments_model(read_model(row))


def schema_of(model: Model) -> dict[str, Any]:
    assert model.request_schema is not None
    return dict(model.request_schema)


def fields_of(model: Model) -> dict[str, dict[str, Any]]:
    return dict(schema_of(model)["properties"])


def sample(spec: dict[str, Any]) -> Any:
    """A value that fits, made from the schema alone."""
    if "enum" in spec:
        return spec["enum"][0]
    if spec.get("format") == "uri":
        return "https://example.com/ox.png"
    plain = {"string": "an ox", "boolean": True, "array": [], "object": {}}
    kind = spec["type"] if isinstance(spec["type"], str) else spec["type"][0]
    return plain.get(kind, spec.get("minimum", 1))


def least_request(model: Model) -> dict[str, Any]:
    fields = fields_of(model)
    return {name: sample(fields[name]) for name in schema_of(model).get("required", [])}


def accepted(model: Model, **params: Any) -> dict[str, Any]:
    """What both ways in make of a request, which must be the same."""
    request = {**least_request(model), **params}
    answer = validate(model, request)
    cls = arguments(model.id)
    assert cls.to_params(cls(**request).model_dump()) == answer
    return answer


def refused(model: Model, **params: Any) -> str:
    request = {**least_request(model), **params}
    with pytest.raises(InvalidInputError) as caught:
        validate(model, request)
    with pytest.raises(ValidationError):
        arguments(model.id)(**request)
    return str(caught.value)


def test_there_are_as_many_as_are_documented() -> None:
    assert len(_DOCUMENTED) == 71
    without_prompt = [
        r["id"] for r in _DOCUMENTED if "prompt" not in r["request_schema"]["properties"]
    ]
    assert len(without_prompt) == 5


def test_every_documented_default_and_choice_is_accepted(model: Model) -> None:
    for name, spec in fields_of(model).items():
        values = [*spec.get("enum", []), *([spec["default"]] if "default" in spec else [])]
        for value in values:
            if name == "prompt" and value == "" and name in schema_of(model).get("required", []):
                continue
            assert accepted(model, **{name: value})[name] == value
    assert accepted(model) == least_request(model)


def test_every_bound_is_kept(model: Model) -> None:
    for name, spec in fields_of(model).items():
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            if bound in spec:
                assert accepted(model, **{name: spec[bound]})[name] == spec[bound]
                message = refused(model, **{name: spec[bound] + beyond})
                assert name in message
                assert str(spec[bound]).removesuffix(".0") in message


def wrong_values(spec: dict[str, Any]) -> Iterator[Any]:
    kinds = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    by_kind = {
        "string": "not-one-of-these",
        "integer": 987654,
        "number": 987654.5,
        "boolean": True,
        "array": ["x"],
        "object": {"x": 1},
    }
    # One value where a list belongs is a list of one.
    fitting = {*kinds, spec["items"]["type"]} if "items" in spec else set(kinds)
    for kind, value in by_kind.items():
        if kind in fitting or (kind == "integer" and "number" in fitting):
            continue
        yield value
    if "enum" in spec:
        yield by_kind[kinds[0]]


def test_every_wrong_type_and_value_is_refused(model: Model) -> None:
    for name, spec in fields_of(model).items():
        for value in wrong_values(spec):
            assert name in refused(model, **{name: value})
        if "items" in spec:
            wrong = 3 if spec["items"]["type"] == "string" else "x"
            assert f"{name}[0]" in refused(model, **{name: [wrong]})


def test_every_unknown_name_is_refused_with_the_closest_one(model: Model) -> None:
    for name in fields_of(model):
        if len(name) < 5:
            continue
        misspelled = name[:-2] + name[-1] + name[-2] + "x"
        message = refused(model, **{misspelled: 1})
        assert re.search(
            rf"{misspelled} is not one of its parameters \(did you mean .*\b{name}\b", message
        )


def test_what_is_required_is_required(model: Model) -> None:
    for name in schema_of(model).get("required", []):
        request = least_request(model)
        del request[name]
        if fields_of(model)[name].get("default") not in (None, ""):
            validate(model, request)
            continue
        with pytest.raises(InvalidInputError, match=f"{name} is missing"):
            validate(model, request)


def test_what_belongs_to_every_request_is_known(model: Model) -> None:
    common = {
        "target_namespace": "a",
        "target_repo": "b",
        "target_directory": "c",
        "response_format": "url",
        "num_generations": 2,
    }
    assert validate(model, {**least_request(model), **common}) == {**least_request(model), **common}


def test_agents_read_a_schema_that_function_calling_takes(model: Model) -> None:
    schema = arguments_model(model).model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "enum", "not", "$defs"} & schema.keys()
    text = json.dumps(schema)
    assert '"x-' not in text
    assert "$ref" not in text
    for name, field in schema["properties"].items():
        assert name.replace("_", "").replace("-", "").isalnum()
        assert len(name) <= 64
        assert field["type"] in ("string", "integer", "number", "boolean", "array")
        if field["type"] == "array":
            assert field["items"]
        kinds = {"string": str, "integer": int, "number": (int, float)}
        for choice in field.get("enum", []):
            assert isinstance(choice, kinds[field["type"]])
    jsonschema.validate(least_request(model), schema)
    defaults = {n: f["default"] for n, f in fields_of(model).items() if "default" in f}
    jsonschema.validate({**least_request(model), **defaults}, schema)
    assert schema == arguments_model(model).model_json_schema()


def test_langchain_hands_the_same_schema_to_the_model_and_the_same_values_to_the_tool(
    model: Model,
) -> None:
    tools = pytest.importorskip("langchain_core.tools")
    function_calling = pytest.importorskip("langchain_core.utils.function_calling")
    seen: dict[str, Any] = {}
    cls = arguments_model(model)
    tool = tools.StructuredTool(
        name="make", description="Makes.", func=lambda **args: seen.update(args), args_schema=cls
    )
    shown = function_calling.convert_to_openai_tool(tool)["function"]["parameters"]
    untitled = {
        name: {k: v for k, v in field.items() if k != "title"}
        for name, field in cls.model_json_schema()["properties"].items()
    }
    assert shown["properties"] == untitled
    tool.invoke(least_request(model))
    assert cls.to_params(seen) == least_request(model)


def test_llama_index_reads_the_same_schema(model: Model) -> None:
    tools = pytest.importorskip("llama_index.core.tools")
    cls = arguments_model(model)
    metadata = tools.ToolMetadata(name="make", description="Makes.", fn_schema=cls)
    assert metadata.get_parameters_dict()["properties"] == cls.model_json_schema()["properties"]


def test_every_model_can_be_quoted_by_every_method(model: Model) -> None:
    """Known or not, a price list of any kind answers; and what is known is never below the least."""
    prices = {"cost_per_image": "0.5", "cost_per_second": "0.1", "input_cost_per_token": 1e-6}
    methods = (
        "token",
        "time",
        "per_image",
        "per_video_output_second",
        "per_audio_output_second",
        "?",
    )
    for method in methods:
        priced = read_model({**model.raw, "pricing": {"method": method, **prices}})
        for params in ({}, {"duration": "auto"}, {"duration": 8}, {"resolution": "4K"}):
            price = quote(priced, params, 2)
            assert price.known == (price.low is not None)
            assert price.known or price.reason
            if price.low is not None and price.high is not None:
                assert 0 < price.low <= price.high
