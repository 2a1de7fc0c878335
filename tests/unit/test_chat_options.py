"""Options of `ChatOxen` that are sent, left out or refused. Nothing is sent here."""

from __future__ import annotations

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
        assert response_format(given["json_schema"]) == given


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
