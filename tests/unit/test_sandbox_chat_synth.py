"""Synthesised arguments are valid against their schema, and say what the user said."""

import enum
from datetime import date
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.utils.function_calling import convert_to_openai_tool
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from oxen_sandbox.chat_clues import Clues
from oxen_sandbox.chat_synth import synthesise

from .chat_requests import ask, calls

SENTENCES = st.sampled_from(
    [
        "",
        "Draw an ox at dawn, then film it for five seconds.",
        "What is the weather in Paris and London?",
        'Send "good morning" to ada@example.com at 2026-03-01 with 3 copies and no sound',
        "你好, make 12 pictures of 牛",
        "Alice is 30 years old, order 4711, see https://example.com/a.png",
    ]
)
NAMES = st.sampled_from(
    """prompt city count duration image_url name email enabled id style title reason answer query
    tags urls width index color ratio date x""".split()  # noqa: SIM905 - a table of words
)


def numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    bound = st.integers(-50, 50)
    free = st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={"minimum": bound, "multipleOf": st.sampled_from([1, 2, 5])},
    )
    ranged = st.tuples(bound, st.integers(12, 40)).map(
        lambda pair: {"type": kind, "minimum": pair[0], "maximum": pair[0] + pair[1]}
    )
    strict = st.tuples(bound, st.integers(12, 40)).map(
        lambda pair: {
            "type": kind,
            "exclusiveMinimum": pair[0],
            "exclusiveMaximum": pair[0] + pair[1],
        }
    )
    return free | ranged | strict


STRINGS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 20), "maxLength": st.integers(20, 60)},
    ),
    st.sampled_from(["date", "date-time", "email", "uri", "uuid", "ipv4"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.sampled_from([r"^\d{4}-\d{2}-\d{2}$", r"^[a-z]+$", r"^[A-Z]{3}$", r"^\d+$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
)
SCALARS = st.one_of(
    STRINGS,
    numbers("integer"),
    numbers("number"),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.sampled_from(["a", "b", 5, 10, None]), min_size=1, unique=True).map(
        lambda options: {"enum": options}
    ),
    st.sampled_from(["fixed", 7, True]).map(lambda value: {"const": value}),
    st.just({"type": ["integer", "string", "null"]}),
    st.just({}),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(_object, st.dictionaries(NAMES, inner, max_size=4), st.data()),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda part: {"anyOf": [part, {"type": "null"}]}),
        inner.map(lambda part: {"allOf": [part]}),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda parts: {"type": "array", "prefixItems": parts, "minItems": len(parts)}
        ),
    )


def _object(properties: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    required = (
        data.draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    )
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


SCHEMAS = st.recursive(SCALARS, containers, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(
    properties=st.dictionaries(NAMES, SCHEMAS, max_size=5),
    required=st.booleans(),
    words=SENTENCES,
)
def test_instances_are_valid(properties: dict[str, Any], required: bool, words: str) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required else [],
        "additionalProperties": False,
    }
    made, share = synthesise(schema, Clues(words))
    jsonschema.validate(made, schema, jsonschema.Draft202012Validator)
    assert 0 <= share <= 1


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Leg(BaseModel):
    start: str
    length: Annotated[float, Field(gt=0, le=100)] = 1.0


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []
    parent: Optional["Tree"] = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


def plan_trip(
    destination: str,
    legs: list[Leg],
    size: Size = Size.SMALL,
    day: date | None = None,
    budget: int | str | None = None,
    pair: tuple[int, str] = (1, "a"),
    extras: dict[str, int] | None = None,
) -> str:
    """Plan a trip to a destination."""
    return destination


def adopt(pet: Cat | Dog, tree: Tree, tags: list[Literal["new", "old"]]) -> str:
    """Adopt a pet."""
    return "done"


@pytest.mark.parametrize("function", [plan_trip, adopt])
@pytest.mark.parametrize("words", ["Plan a large trip to Oslo for 3 days", "Adopt a cat", ""])
def test_arguments_suit_the_tools_of_both_frameworks(function: Any, words: str) -> None:
    index = FunctionTool.from_defaults(function)
    for offered in (convert_to_openai_tool(function), index.metadata.to_openai_tool()):
        named = {"type": "function", "function": {"name": function.__name__}}
        ((_, arguments),) = calls(ask(words or "Go", tools=[offered], tool_choice=named))
        schema = offered["function"]["parameters"]
        jsonschema.validate(arguments, schema, jsonschema.Draft202012Validator)
        index.metadata.fn_schema.model_validate(arguments)


def filled(properties: dict[str, Any], words: str, **clues: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    made: dict[str, Any] = synthesise(schema, Clues(words, **clues))[0]
    return made


STRING = {"type": "string"}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("properties", "words", "expected"),
    [
        ({"city": STRING}, "weather in New York, please", {"city": "New York"}),
        (
            {"origin": STRING, "destination": STRING},
            "fly from Oslo to Rome",
            {"origin": "Oslo", "destination": "Rome"},
        ),
        (
            {"width": INTEGER, "height": INTEGER},
            "height 512 and width 768",
            {"width": 768, "height": 512},
        ),
        ({"duration": INTEGER}, "a two minute film", {"duration": 120}),
        (
            {"duration": {"type": "string", "enum": ["5", "10"]}},
            "film it for five seconds",
            {"duration": "5"},
        ),
        ({"duration": {"enum": [4, 8]}}, "a 5 second film", {"duration": 8}),
        (
            {"duration": {"type": "integer", "maximum": 10}},
            "film it for 60 seconds",
            {"duration": 10},
        ),
        ({"unit": {"enum": ["celsius", "fahrenheit"]}}, "in Fahrenheit", {"unit": "fahrenheit"}),
        ({"aspect_ratio": STRING}, "a 16:9 picture", {"aspect_ratio": "16:9"}),
        (
            {"generate_audio": {"type": "boolean"}},
            "film an ox without audio",
            {"generate_audio": False},
        ),
        ({"email": STRING}, "write to ada@example.com.", {"email": "ada@example.com"}),
        (
            {"customer_name": STRING},
            "Create a customer named 'こんにちは株式会社'",
            {"customer_name": "こんにちは株式会社"},
        ),
        (
            {"answer_style": STRING},
            "Using the tool, generate a Pirate greeting.",
            {"answer_style": "Pirate"},
        ),
        ({"fav_color": STRING}, "I like purple best", {"fav_color": "purple"}),
        (
            {"tags": {"type": "array", "items": STRING}},
            'tag it "ox" and "dawn"',
            {"tags": ["ox", "dawn"]},
        ),
        (
            {"items": {"type": "array", "items": INTEGER, "minItems": 2}},
            "add 4 and 9",
            {"items": [4, 9]},
        ),
        ({"order_id": STRING}, "Where is order A-4711?", {"order_id": "A-4711"}),
        (
            {"voucher": {"type": "string", "pattern": r"[A-Z]{3}-\d+"}},
            "take the one with OXE-12",
            {"voucher": "OXE-12"},
        ),
        (
            {"cities": {"type": "array", "items": STRING}},
            "weather in Paris and London",
            {"cities": ["Paris", "London"]},
        ),
        (
            {"first_name": STRING, "last_name": STRING},
            "Alice is here, Bob is late",
            {"first_name": "Alice", "last_name": "Bob"},
        ),
        ({"expression": STRING}, "Compute 2 * (3 + 4) for me", {"expression": "2 * (3 + 4)"}),
        ({"duration": STRING}, "a two minute film", {"duration": "120"}),
        ({"style": STRING}, "an ox in the style of Klee", {"style": "Klee"}),
        ({"url": STRING}, "see https://x.example/ox now", {"url": "https://x.example/ox"}),
        ({"namespace": STRING}, "draw an ox", {"namespace": "Namespace: an ox"}),
        (
            {"image_urls": {"type": "array", "items": STRING}},
            "draw it as in https://x.example/a.png",
            {"image_urls": ["https://x.example/a.png"]},
        ),
        (
            {"like": {"type": "string", "renderType": "image-url"}},
            "draw it as in https://x.example/a.png",
            {"like": "https://x.example/a.png"},
        ),
        ({"title": {"type": "string", "maxLength": 7}}, "the old ox", {"title": "The old"}),
        ({"steps": {"type": "integer", "default": 28}}, "draw an ox", {"steps": 28}),
        ({"note": {"type": ["string", "null"], "default": None}}, "", {"note": None}),
    ],
)
def test_values_come_from_the_words(properties: dict[str, Any], words: str, expected: Any) -> None:
    assert filled(properties, words) == expected


def test_a_list_is_as_long_as_the_words_say() -> None:
    colors = filled({"colors": {"type": "array", "items": STRING}}, "name three colors")["colors"]
    assert len(set(colors)) == 3


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (['{"count": 7}'], 7),
        (['the "count" is 3', '[{"count": 4}]', '{"count": 7}'], 7),
        (['{"count": "many"}', '{"count": 7}'], 5),
        (['{"count": null}'], 5),
    ],
)
def test_a_value_is_what_the_newest_result_calls_by_its_name(
    results: list[str], expected: int
) -> None:
    assert filled({"count": INTEGER}, "there are 5", results=results) == {"count": expected}


def test_urls_come_from_earlier_results_by_kind() -> None:
    results = ["film: https://x.example/b.mp4", "image: https://x.example/a.png?sig=1"]
    properties = {"image_url": STRING, "input_video": STRING}
    made = filled(properties, "make it longer", results=results)
    assert made == {
        "image_url": "https://x.example/a.png?sig=1",
        "input_video": "https://x.example/b.mp4",
    }


def test_optional_values_are_left_out_unless_the_words_give_them() -> None:
    properties = {"prompt": STRING, "seed": INTEGER, "steps": {**INTEGER, "default": 28}}
    schema = {"type": "object", "properties": properties, "required": ["prompt"]}
    assert synthesise(schema, Clues("draw an ox"))[0] == {"prompt": "an ox"}
    made, _ = synthesise(schema, Clues("draw an ox with seed 7"))
    assert made["seed"] == 7
    assert "steps" not in made


def test_recursive_schemas_end() -> None:
    made, _ = synthesise(Tree.model_json_schema(), Clues("a tree"))
    Tree.model_validate(made)


def deep(levels: int) -> dict[str, Any]:
    inner = deep(levels - 1) if levels else STRING
    properties = {"prompt": inner, "aside": STRING}
    return {"type": "object", "properties": properties, "required": ["prompt"]}


LINK = {"$ref": "#/$defs/link"}
UNUSUAL: list[dict[str, Any]] = [
    {"anyOf": [True, {"type": "null"}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
            {"properties": {"b": INTEGER}, "required": ["b"]},
        ]
    },
    {"type": "object", "properties": {"a": True}, "required": ["a", "b"]},
    {"type": "object", "minProperties": 2, "additionalProperties": INTEGER},
    {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"const": 1}, "minItems": 2},
    {"type": "array", "items": {**STRING, "maxLength": 30}, "minItems": 2, "uniqueItems": True},
    {"type": "string", "minLength": 40},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    deep(9),
    {"type": "object", "properties": {"a": {"anyOf": [STRING, INTEGER]}, "b": {"$ref": "#/properties/a/anyOf/1"}}, "required": ["a", "b"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
    {"type": "object", "$defs": {"link": {"type": "object", "properties": {"next": {"anyOf": [LINK, {"type": "null"}]}, "also": LINK}, "required": ["next"]}}, "properties": {"first": LINK}, "required": ["first"]},
]  # fmt: skip


@pytest.mark.parametrize("schema", UNUSUAL)
@pytest.mark.parametrize("words", ["", "Add 2 oxen and one cart"])
def test_unusual_schemas_are_obeyed(schema: dict[str, Any], words: str) -> None:
    made, _ = synthesise(schema, Clues(words))
    jsonschema.validate(made, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "step", ["circle", "nowhere", "union/anyOf/7", "union/anyOf/x", "text/type/x"]
)
def test_a_reference_that_leads_nowhere_stands_for_anything(step: str) -> None:
    circle = {"$ref": "#/$defs/circle"}
    kept = {"circle": circle, "union": {"anyOf": [circle]}, "text": STRING}
    assert (
        synthesise({"$defs": kept, "$ref": f"#/$defs/{step}"}, Clues("an ox"))[0] == "Text: an ox"
    )


def test_null_is_an_answer_where_the_schema_of_openapi_allows_it() -> None:
    schema = {"type": "integer", "nullable": True, "enum": [None]}
    assert synthesise(schema, Clues("an ox"))[0] is None
