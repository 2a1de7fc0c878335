"""Options of `ChatOxen` that are sent, left out or refused. Nothing is sent here."""

from __future__ import annotations

import enum
from functools import lru_cache, partial
from typing import Any

import pytest

from langchain_oxen import ChatOxen
from langchain_oxen.parameters import convert_tools
from langchain_oxen.structured import response_format
from oxen_inference.errors import InvalidInputError


def chat(**options: Any) -> ChatOxen:
    return ChatOxen(model="gpt-4o", api_key="k", base_url="http://127.0.0.1:1/api/ai", **options)


def draw(what: str) -> str:
    """Draw something."""
    return what


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None), (False, None), (True, "required"), ("any", "required"), ("auto", "auto"),
        ("draw", {"type": "function", "function": {"name": "draw"}}),
    ],
)  # fmt: skip
def test_a_choice_of_tools_is_spelt_for_the_wire(choice: Any, sent: Any) -> None:
    bound: Any = chat().bind_tools([draw], tool_choice=choice)
    assert bound.kwargs.get("tool_choice") == sent


@pytest.mark.parametrize("choice", [None, False])
def test_no_choice_is_none_that_is_sent(choice: Any) -> None:
    body = {"tools": [draw], "tool_choice": choice}
    convert_tools(body, None)
    assert "tool_choice" not in body
    assert len(body["tools"]) == 1


@pytest.mark.parametrize("choice", [["draw"], draw, 1])
def test_a_choice_that_is_none_is_refused(choice: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"tool_choice is a string or a dict.*'auto'"):
        chat().bind_tools([draw], tool_choice=choice)


PARAMETERS = {"type": "object", "properties": {"what": {"type": "string"}}}
CAPITALS = {"type": "OBJECT", "properties": {"what": {"type": "STRING"}}}


@pytest.mark.parametrize(
    "form",
    [
        {"type": "function", "function": {"name": "draw", "parameters": PARAMETERS}},
        {"type": "function", "name": "draw", "parameters": PARAMETERS},
        {"name": "draw", "parameters": CAPITALS},
        {"name": "draw", "input_schema": PARAMETERS},
        {"type": "custom", "name": "draw", "input_schema": PARAMETERS},
        {"name": "draw", "inputSchema": PARAMETERS},
        {"toolSpec": {"name": "draw", "inputSchema": {"json": PARAMETERS}}},
        {"function_declarations": [{"name": "draw", "parameters": CAPITALS}]},
        {"functionDeclarations": [{"name": "draw", "parametersJsonSchema": PARAMETERS}]},
        {"title": "draw", **CAPITALS},
    ],
)
def test_a_tool_in_the_form_of_any_provider(form: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "draw", "parameters": PARAMETERS}}
    bound: Any = chat().bind_tools([form], tool_choice="draw")
    assert bound.kwargs["tools"] == [tool]
    body = {"tools": [form]}
    convert_tools(body, None)
    assert body["tools"] == [tool]


def test_a_list_of_declarations_is_several_tools() -> None:
    declared = {"function_declarations": [{"name": "a"}, {"name": "b"}]}
    bound: Any = chat().bind_tools([declared, draw])
    assert [t["function"]["name"] for t in bound.kwargs["tools"]] == ["a", "b", "draw"]


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "given",
    [
        {"google_search": {}},
        {"url_context": {}},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "custom", "name": "run"},
        {"type": "custom", "custom": {"name": "run"}},
        {"type": "json_object"},
        {},
        Color,
        int,
        "draw",
        None,
    ],
)
def test_what_is_no_tool_and_no_schema_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="no schema") as caught:
        chat().bind_tools([given])
    assert caught.value.hint
    if given is not None:
        for method in ("function_calling", "json_schema"):
            with pytest.raises(InvalidInputError, match="no schema"):
                chat().with_structured_output(given, method=method)


class Painter:
    def __call__(self, what: str, size: int = 1) -> str:
        """Paint something."""
        return what * size


@pytest.mark.parametrize(
    ("given", "name", "properties"),
    [
        (partial(Painter().__call__, size=2), "__call__", {"what": {"type": "string"}}),
        (partial(partial(Painter(), "ox")), "Painter", {"size": {"default": 1, "type": "integer"}}),
        (partial(draw), "draw", {"what": {"type": "string"}}),
        (lru_cache(draw), "draw", {"what": {"type": "string"}}),
    ],
)
def test_whatever_is_called_is_a_tool(given: Any, name: str, properties: Any) -> None:
    bound: Any = chat().bind_tools([given])
    (tool,) = bound.kwargs["tools"]
    assert tool["function"]["name"] == name
    assert tool["function"]["description"]
    assert tool["function"]["parameters"]["properties"] == properties


def test_only_json_mode_does_without_a_schema() -> None:
    for method in ("json_schema", "function_calling"):
        with pytest.raises(InvalidInputError, match="needs a schema"):
            chat().with_structured_output(None, method=method)
    assert chat().with_structured_output(None, method="json_mode") is not None


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "ox", "schema": {"type": "object"}}},
    ],
)
def test_a_ready_made_format_goes_as_it_is(given: dict[str, Any]) -> None:
    assert response_format(given) == given
    if "json_schema" in given:
        inner = given["json_schema"]
        assert response_format(inner) == given
        assert response_format({"type": "json_schema", **inner}) == given  # the Responses API's


def test_a_format_without_a_name_gets_one() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    named = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    for given in ({"schema": schema}, {"json_schema": {"schema": schema}}):
        assert response_format({"type": "json_schema", **given}) == named


def test_a_format_has_a_description_where_its_schema_has_one() -> None:
    schema: dict[str, Any] = {"title": "ox", "type": "object", "properties": {}}
    for said in ({}, {"description": "An ox."}):
        made = response_format({**schema, **said})["json_schema"]
        assert {k: v for k, v in made.items() if k == "description"} == said


def test_an_id_has_the_name_other_chat_models_give_it() -> None:
    assert chat().model_name == "gpt-4o"
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        chat().get_token_ids("an ox")
    assert chat(custom_get_token_ids=lambda text: [len(text)]).get_token_ids("an ox") == [5]
