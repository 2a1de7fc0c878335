"""Synthesized instances are valid against their schema and use what the prompt offers."""

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

from oxen_sandbox.chat_synthesis import PromptValues, synthesize

from .chat_requests import ask, calls

SENTENCES = st.sampled_from(
    [
        "",
        "Draw an ox at dawn, then make a video of it, duration 5.",
        'Send "good morning" to ada@example.com at 2026-03-01 with 3 copies, count: 7',
        "你好, make 12 images of 牛",
        "Alice is 30.5 years old, width -4, see https://example.com/a.png",
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
    prompt=SENTENCES,
)
def test_instances_are_valid(properties: dict[str, Any], required: bool, prompt: str) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required else [],
        "additionalProperties": False,
    }
    made = synthesize(schema, PromptValues(prompt))
    jsonschema.validate(made, schema, jsonschema.Draft202012Validator)


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


class Node(BaseModel):
    children: list["Node"]
    parent: Optional["Node"]


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"


class Branch(BaseModel):
    kind: Literal["branch"] = "branch"
    left: "Branch | Leaf"
    right: Annotated["Branch | Leaf", Field(discriminator="kind")]


class Chicken(BaseModel):
    egg: "Egg"


class Egg(BaseModel):
    chicken: Chicken | None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Home(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


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
@pytest.mark.parametrize("prompt", ["Plan a large trip for 3 days", "Adopt a dog", ""])
def test_arguments_suit_the_tools_of_both_frameworks(function: Any, prompt: str) -> None:
    index = FunctionTool.from_defaults(function)
    for offered in (convert_to_openai_tool(function), index.metadata.to_openai_tool()):
        named = {"type": "function", "function": {"name": function.__name__}}
        ((_, arguments),) = calls(ask(prompt or "Go", tools=[offered], tool_choice=named))
        schema = offered["function"]["parameters"]
        jsonschema.validate(arguments, schema, jsonschema.Draft202012Validator)
        index.metadata.fn_schema.model_validate(arguments)


def filled(properties: dict[str, Any], prompt: str, *results: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    values = PromptValues(prompt)
    for result in results:
        values.add_result(result)
    made: dict[str, Any] = synthesize(schema, values)
    return made


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}


@pytest.mark.parametrize(
    ("properties", "prompt", "expected"),
    [
        # numbers and quoted strings, in order
        ({"a": INTEGER, "b": INTEGER}, "Add 4 and -9", {"a": 4, "b": -9}),
        ({"a": NUMBER}, "2.5 oxen", {"a": 2.5}),
        ({"a": INTEGER}, "2.5 or 7 oxen", {"a": 7}),
        ({"a": {**INTEGER, "minimum": 10}}, "5 or 12", {"a": 12}),
        ({"a": INTEGER, "b": STRING}, 'the "12" of 3', {"a": 3, "b": "12"}),
        ({"a": INTEGER}, "order A-4711 of 2026-03-01 at 16:9, see http://x.example/5", {"a": 1}),
        (
            {"origin": STRING, "destination": STRING},
            "from 'Oslo' to “Rome”",
            {"origin": "Oslo", "destination": "Rome"},
        ),
        ({"name": STRING}, "Bruno's ox isn't here", {"name": "Bruno's ox isn't here"}),
        ({"name": {**STRING, "maxLength": 5}}, '"a longer one" or `short`', {"name": "short"}),
        # what stands after the name wins
        (
            {"width": INTEGER, "height": INTEGER},
            "height 512 and width: 768",
            {"width": 768, "height": 512},
        ),
        ({"aspect_ratio": STRING}, "3 images with aspect ratio: 16:9", {"aspect_ratio": "16:9"}),
        ({"city": STRING, "name": STRING}, 'name "Bo" in "Oslo"', {"city": "Oslo", "name": "Bo"}),
        ({"city": STRING, "a": STRING}, 'city=Oslo, "ox"', {"city": "Oslo", "a": "ox"}),
        ({"audio": {"type": "boolean"}}, "with audio: false", {"audio": False}),
        ({"duration": {"enum": ["5", "10"]}}, "duration 10", {"duration": "10"}),
        # choices
        ({"unit": {"enum": ["celsius", "fahrenheit"]}}, "in Fahrenheit", {"unit": "fahrenheit"}),
        ({"unit": {"enum": ["celsius", "fahrenheit"]}}, "how warm?", {"unit": "celsius"}),
        ({"unit": {"enum": ["a", "b"], "default": "b"}}, "what?", {"unit": "b"}),
        # lists
        ({"tags": {"type": "array", "items": STRING}}, '"ox", "dawn"', {"tags": ["ox", "dawn"]}),
        ({"sums": {"type": "array", "items": INTEGER}}, "add 4 and 9", {"sums": [4, 9]}),
        ({"sums": {"type": "array", "items": INTEGER, "maxItems": 1}}, "4 and 9", {"sums": [4]}),
        ({"sums": {"type": "array", "items": INTEGER, "minItems": 2}}, "4", {"sums": [4, 1]}),
        # URLs and formats
        ({"url": STRING}, "see https://x.example/ox.", {"url": "https://x.example/ox"}),
        ({"url": STRING}, "see it", {"url": "https://example.com/ox.png"}),
        (
            {"like": {**STRING, "renderType": "image-url"}, "input_image": STRING},
            "as (https://x.example/a.png) and https://x.example/b.png?c=1",
            {"like": "https://x.example/a.png", "input_image": "https://x.example/b.png?c=1"},
        ),
        (
            {"image_urls": {"type": "array", "items": STRING}},
            'as in https://x.example/a.png, "now"',
            {"image_urls": ["https://x.example/a.png"]},
        ),
        ({"to": {**STRING, "format": "email"}}, "to ada@example.com.", {"to": "ada@example.com"}),
        ({"on": {**STRING, "format": "date"}}, "on 2027-03-01", {"on": "2027-03-01"}),
        ({"code": {**STRING, "pattern": r"^[A-Z]{3}-\d+$"}}, "use OXE-12 now", {"code": "OXE-12"}),
        # nothing given
        ({"title": {**STRING, "maxLength": 7}}, "the old ox", {"title": "the old"}),
        ({"title": {**STRING, "minLength": 9}}, "the ox", {"title": "the ox..."}),
        ({"title": STRING}, "", {"title": "title"}),
        ({"steps": {**INTEGER, "default": 28}}, "draw an ox", {"steps": 28}),
        ({"steps": {**INTEGER, "default": 28}}, "in 4 steps", {"steps": 4}),
        ({"note": {"type": ["null", "string"]}}, "an ox", {"note": "an ox"}),
        ({"step": {**NUMBER, "exclusiveMinimum": 0, "multipleOf": 0.5}}, "", {"step": 1}),
    ],
)
def test_values_come_from_the_prompt(
    properties: dict[str, Any], prompt: str, expected: dict[str, Any]
) -> None:
    assert filled(properties, prompt) == expected


def test_results_of_tools_offer_their_urls_and_what_they_name() -> None:
    result = '{"count": 7, "url": "https://x.example/ox.png"}'
    properties = {"count": INTEGER, "size": INTEGER, "input_image": STRING}
    made = filled(properties, "of size 3", result)
    assert made == {"count": 7, "size": 3, "input_image": "https://x.example/ox.png"}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("an ox", {"prompt": "an ox", "kind": "image"}),
        ("seed 7 of 9", {"prompt": "seed 7 of 9", "kind": "image", "seed": 7}),
        (
            '"an ox" as https://x.example/a.png, style: ink',
            {
                "prompt": "an ox",
                "kind": "image",
                "style": "ink",
                "input_image": "https://x.example/a.png",
            },
        ),
    ],
)
def test_optional_values_are_filled_where_the_prompt_asks_for_them(
    prompt: str, expected: dict[str, Any]
) -> None:
    properties = {
        "prompt": STRING,
        "kind": {"const": "image", "default": "image"},
        "seed": INTEGER,
        "style": {"enum": ["oil", "ink"]},
        "input_image": STRING,
        "steps": {**INTEGER, "default": 28},
        "tags": {"type": "array", "items": STRING},
        "extra": {"type": "object"},
    }
    assert (
        synthesize({"type": "object", "properties": properties}, PromptValues(prompt)) == expected
    )


@pytest.mark.parametrize("model", [Tree, Node, Branch, Chicken, Egg, Home])
@pytest.mark.parametrize("prompt", ["", 'a "tree" of 3', "a branch"])
def test_recursive_schemas_end(model: type[BaseModel], prompt: str) -> None:
    made = synthesize(model.model_json_schema(), PromptValues(prompt))
    model.model_validate(made)
    assert len(str(made)) < 400


@pytest.mark.parametrize(("prompt", "kind"), [("a dog", "dog"), ("a cat", "cat"), ("a pet", "cat")])
def test_the_prompt_picks_the_branch_of_a_discriminated_union(prompt: str, kind: str) -> None:
    made = synthesize(Home.model_json_schema(), PromptValues(prompt))
    assert made["pet"]["kind"] == kind
    Home.model_validate(made)


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
    {"type": "array", "items": {"const": 1}, "minItems": 2},
    {"type": "string", "minLength": 40},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    deep(9),
    {"type": "object", "properties": {"a": {"anyOf": [STRING, INTEGER]}, "b": {"$ref": "#/properties/a/anyOf/1"}}, "required": ["a", "b"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
    {"type": "object", "$defs": {"link": {"type": "object", "properties": {"next": {"anyOf": [LINK, {"type": "null"}]}, "also": LINK}, "required": ["next"]}}, "properties": {"first": LINK}, "required": ["first"]},
]  # fmt: skip


@pytest.mark.parametrize("schema", UNUSUAL)
@pytest.mark.parametrize("prompt", ["", "Add 2 oxen and one cart"])
def test_unusual_schemas_are_obeyed(schema: dict[str, Any], prompt: str) -> None:
    made = synthesize(schema, PromptValues(prompt))
    jsonschema.validate(made, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "step", ["circle", "nowhere", "union/anyOf/7", "union/anyOf/x", "text/type/x"]
)
def test_a_reference_that_leads_nowhere_ends(step: str) -> None:
    circle = {"$ref": "#/$defs/circle"}
    kept = {"circle": circle, "union": {"anyOf": [circle]}, "text": STRING}
    made = synthesize({"$defs": kept, "$ref": f"#/$defs/{step}"}, PromptValues("an ox"))
    assert made == (None if step == "circle" else "an ox")


def test_a_schema_that_only_leads_to_itself_ends() -> None:
    both = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert synthesize(both, PromptValues("an ox")) == "an ox"
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert isinstance(synthesize(endless, PromptValues("an ox")), dict)


def test_null_is_an_answer_where_the_schema_of_openapi_allows_it() -> None:
    schema = {"type": "integer", "nullable": True, "enum": [None]}
    assert synthesize(schema, PromptValues("an ox")) is None
