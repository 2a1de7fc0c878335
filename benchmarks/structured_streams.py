"""What it costs to stream a long object: both adapters beside ChatOpenAI and OpenAILike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel
from typing_extensions import TypedDict

from benchmarks.harness import Case, Contestant, Hub
from benchmarks.langchain_chat import chat_openai, chat_oxen
from benchmarks.llama_index_llm import openai_like, oxen

TITLE = "Structured streams"
ABOUT = (
    "An object with a list of 1,600 items, streamed as it grows: ChatOxen and ChatOpenAI 1.7, Oxen "
    "and OpenAILike 0.8, at the same local hub in one run. All end with the same object; how often "
    "they show it on the way is theirs."
)
ITEMS = 1_600
PROMPT = "List the animals of the farm."
FARM = {"animals": [{"name": f"ox {number}", "weight": 700 + number} for number in range(ITEMS)]}
REPLIES = [{"tool_calls": [["Farm", FARM]], "times": None}]


class Animal(BaseModel):
    """An animal of the farm."""

    name: str
    weight: int


class Farm(BaseModel):
    """All animals of a farm."""

    animals: list[Animal]


class AnimalDict(TypedDict):
    """An animal of the farm."""

    name: str
    weight: int


class FarmDict(TypedDict):
    """All animals of a farm."""

    animals: list[AnimalDict]


FarmDict.__name__ = "Farm"  # the tool that the hub's answer calls


def last_of(objects: Any) -> int:
    """Return how many animals the last object has that has any."""
    count = 0
    for one in objects:
        found = one.get("animals") if isinstance(one, dict) else one.animals
        count = len(found or ())
    return count


def langchain_of(make: Callable[[Hub], Any], schema: Any) -> Contestant:
    def setup(hub: Hub) -> Callable[[], int]:
        chain = make(hub).with_structured_output(schema, method="function_calling")
        return lambda: last_of(chain.stream(PROMPT))

    return setup


def llama_index_of(make: Callable[[Hub], Any]) -> Contestant:
    def setup(hub: Hub) -> Callable[[], int]:
        llm, prompt = make(hub), PromptTemplate(PROMPT)
        return lambda: last_of(llm.stream_structured_predict(Farm, prompt))

    return setup


LANGCHAIN = {"ChatOxen": chat_oxen, "ChatOpenAI": chat_openai}
LLAMA_INDEX = {"Oxen": oxen, "OpenAILike": openai_like}
CASES = [
    Case(
        name=f"a pydantic object of {ITEMS:,} items",
        contestants={
            **{name: langchain_of(make, Farm) for name, make in LANGCHAIN.items()},
            **{name: llama_index_of(make) for name, make in LLAMA_INDEX.items()},
        },
        baseline="ChatOpenAI",
        rounds=5,
        warmups=1,
        unit="s",
    ),
    Case(
        name=f"a dict of {ITEMS:,} items",
        contestants={name: langchain_of(make, FarmDict) for name, make in LANGCHAIN.items()},
        baseline="ChatOpenAI",
        rounds=5,
        warmups=1,
        unit="s",
    ),
]
