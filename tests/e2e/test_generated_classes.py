"""Pydantic classes that hypothesis makes up: their schema accepts what they accept, and the object
comes back, by every method of both adapters."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from langchain_oxen import ChatOxen
from langchain_oxen.schemas import describe
from llama_index_oxen import Oxen
from oxen_inference.chat.names import safe_name
from oxen_inference.chat.schemas import class_schema, object_schema
from oxen_inference.chat.strict_schemas import strict_schema
from oxen_inference.errors import InvalidInputError
from tests.support.scripted_server import ScriptedServer, completion, http

Kind = tuple[Any, st.SearchStrategy[Any]]
"""A type, and the values that it accepts."""

TEXT = st.text(max_size=8).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
SCALARS: list[Kind] = [
    (int, st.integers(-9, 9)),
    (str, TEXT),
    (bool, st.booleans()),
    (float, st.floats(-4, 4)),
    (Literal["a", "ä"], st.sampled_from(["a", "ä"])),
    (Annotated[int, Field(ge=0, le=5)], st.integers(0, 5)),
    (Any, st.integers()),
]
FIELDS = ("name", "größe", "value", "title", "type", "properties", "x_1")
TITLES = (None, "Reading[int]", "Sensor Reading", "Größe", "x" * 80)


def optional(kind: Kind) -> Kind:
    return Optional[kind[0]], kind[1] | st.none()  # noqa: UP045 - of a variable


def listed(kind: Kind) -> Kind:
    return list[kind[0]], st.lists(kind[1], max_size=2)  # type: ignore[name-defined]


def mapped(kind: Kind) -> Kind:
    return dict[str, kind[0]], st.dictionaries(TEXT, kind[1], max_size=2)  # type: ignore[name-defined]


def pair(kind: Kind) -> Kind:
    return tuple[kind[0], str], st.tuples(kind[1], TEXT).map(list)  # type: ignore[name-defined]


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> Kind:
    """Draw a class with a few fields, which may contain other classes and itself."""
    names = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True))
    config = ConfigDict(title=draw(st.sampled_from(TITLES)))
    fields: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[Any]] = {}
    for number, name in enumerate(names):
        kind, values[name] = draw(kinds(depth))
        # Under an alias: some of these names are methods of every class.
        fields[f"f{number}"] = (kind, Field(alias=name))
    if draw(st.booleans()):
        fields["children"] = (list["Part"], Field(default_factory=list))  # type: ignore[name-defined]  # noqa: F821 - resolved below
    made: Any = create_model("Part", __config__=config, **fields)
    made.model_rebuild(_types_namespace={"Part": made})
    objects: st.SearchStrategy[Any] = st.fixed_dictionaries(values)
    if "children" in fields:
        leaf = objects.map(lambda v: {**v, "children": []})
        objects = st.builds(lambda v, c: {**v, "children": c}, objects, st.lists(leaf, max_size=2))
    return made, objects


@st.composite
def kinds(draw: st.DrawFn, depth: int) -> Kind:
    kind = draw(st.sampled_from(SCALARS))
    if depth and draw(st.booleans()):
        kind = draw(models(depth - 1))
    for wrap in draw(st.lists(st.sampled_from([optional, listed, mapped, pair]), max_size=2)):
        kind = wrap(kind)
    return kind


@st.composite
def classes(draw: st.DrawFn) -> Kind:
    """Draw a class of any root."""
    if draw(st.integers(0, 3)):
        return draw(models())
    kind, values = draw(kinds(1))
    return RootModel[kind], values


def drawn(data: st.DataObject) -> tuple[type[BaseModel], Any]:
    cls, values = data.draw(classes())
    return cls, data.draw(values)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_schema_accepts_what_the_class_accepts(data: st.DataObject) -> None:
    cls, value = drawn(data)
    cls.model_validate(value)
    schema, is_wrapped = object_schema(class_schema(cls), generated=True)
    assert schema["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & schema.keys()
    Draft202012Validator.check_schema(schema)
    wrapped = {"value": value} if is_wrapped else value
    Draft202012Validator(schema).validate(wrapped)
    assert not Draft202012Validator(schema).is_valid([])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_strict_schema_is_strict_or_says_which_field_is_not(data: st.DataObject) -> None:
    cls, value = drawn(data)
    schema, is_wrapped = object_schema(class_schema(cls), generated=True)
    try:
        strict = strict_schema(schema, owner="Part")
    except InvalidInputError as error:
        assert "strict=True cannot describe" in error.message  # noqa: PT017 - it may be strict
        return
    for part in objects_in(strict):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    assert "oneOf" not in json.dumps(strict)
    # The class accepts what the strict schema does: the value with every field written out.
    whole = cls.model_validate(value).model_dump(mode="json", by_alias=True)
    Draft202012Validator(strict).validate({"value": whole} if is_wrapped else whole)


def objects_in(schema: Any) -> Any:
    if isinstance(schema, list):
        for part in schema:
            yield from objects_in(part)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            yield schema
            yield from objects_in(list(schema["properties"].values()))
            yield from objects_in([v for k, v in schema.items() if k != "properties"])
        else:
            yield from objects_in(list(schema.values()))


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_object_comes_back(method: Any, data: st.DataObject) -> None:
    cls, value = drawn(data)
    expected = cls.model_validate(value)
    _, is_wrapped = object_schema(class_schema(cls), generated=True)
    text = json.dumps({"value": value} if is_wrapped else value)
    function = {"name": safe_name(describe(cls).name), "arguments": text}
    called = {
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    is_call = method == "function_calling"
    with ScriptedServer(http(completion(called if is_call else {"content": text}))) as server:
        model = ChatOxen(model="ox-1", api_key="k", base_url=server.url, cost=False)
        assert model.with_structured_output(cls, method=method).invoke("x") == expected
        mode: Any = "tool" if is_call else "json_schema"
        llm = Oxen("ox-1", api_key="k", api_base=server.url, cost=False, structured_mode=mode)
        assert llm.structured_predict(cls, PromptTemplate("x")) == expected


@pytest.mark.parametrize("mode", ["tool", "json_schema"])
@pytest.mark.parametrize("cls", [enum.Enum("Color", "RED"), int, dict])
def test_what_is_no_class_of_objects_is_refused(cls: Any, mode: Any) -> None:
    llm = Oxen("ox-1", api_key="k", api_base="http://127.0.0.1:1/api/ai", structured_mode=mode)
    with pytest.raises(InvalidInputError, match=r"is no pydantic class.*RootModel"):
        llm.structured_predict(cls, PromptTemplate("x"))
