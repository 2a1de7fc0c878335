"""Prompts of known forms, as LlamaIndex and LangChain write them, are answered in their form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.output_parsers import PydanticOutputParser
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep, ObservationReasoningStep
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.condense_plus_context import (
    DEFAULT_CONDENSE_PROMPT_TEMPLATE,
    DEFAULT_CONTEXT_PROMPT_TEMPLATE,
)
from llama_index.core.output_parsers import PydanticOutputParser as LlamaParser
from llama_index.core.output_parsers.selection import SelectionOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.chat_prompts import (
    CHAT_REFINE_PROMPT,
    CHAT_TEXT_QA_PROMPT,
    CHAT_TREE_SUMMARIZE_PROMPT,
)
from llama_index.core.prompts.default_prompts import (
    DEFAULT_CHOICE_SELECT_PROMPT,
    DEFAULT_KEYWORD_EXTRACT_TEMPLATE,
    DEFAULT_QUERY_PROMPT,
    DEFAULT_REFINE_PROMPT,
    DEFAULT_SUMMARY_PROMPT,
    DEFAULT_TEXT_QA_PROMPT,
)
from llama_index.core.question_gen.output_parser import SubQuestionOutputParser
from llama_index.core.question_gen.prompts import (
    DEFAULT_SUB_QUESTION_PROMPT_TMPL,
    build_tools_text,
)
from llama_index.core.selectors.prompts import (
    DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL,
    DEFAULT_SINGLE_SELECT_PROMPT,
)
from llama_index.core.tools import FunctionTool, ToolMetadata
from pydantic import BaseModel

from .chat_requests import WEATHER, ask, calls, say, tool, user

FACTS = (
    "The hub stores datasets and versions large files. An ox can pull three tons.\n\n"
    "Oxen live about twenty years. Paris is the capital of France."
)


def sent(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    return [{"role": message.role.value, "content": message.content} for message in messages]


@pytest.mark.parametrize(
    "prompt", [CHAT_TEXT_QA_PROMPT, CHAT_TREE_SUMMARIZE_PROMPT, DEFAULT_TEXT_QA_PROMPT]
)
def test_questions_are_answered_from_the_documents(prompt: Any) -> None:
    asked = prompt.format_messages(context_str=FACTS, query_str="How long do oxen live?")
    assert say(sent(asked)) == "Oxen live about twenty years."


def test_what_the_documents_do_not_say_is_not_known() -> None:
    asked = CHAT_TEXT_QA_PROMPT.format_messages(context_str=FACTS, query_str="Who wrote Hamlet?")
    assert "don't know" in say(sent(asked))


@pytest.mark.parametrize("prompt", [CHAT_REFINE_PROMPT, DEFAULT_REFINE_PROMPT])
@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ("I cannot tell.", "An ox can pull three tons."),
        ("An ox can pull two tons of weight.", "An ox can pull two tons of weight."),
    ],
)
def test_an_answer_is_refined_only_where_the_context_helps(
    prompt: Any, existing: str, expected: str
) -> None:
    query = (
        "How much can an ox pull?" if existing.startswith("I") else "What weight can an ox pull?"
    )
    asked = prompt.format_messages(context_msg=FACTS, query_str=query, existing_answer=existing)
    assert say(sent(asked)) == expected


def test_documents_in_the_system_prompt_answer_the_user() -> None:
    system = DEFAULT_CONTEXT_PROMPT_TEMPLATE.format(context_str=FACTS)
    turns = [{"role": "system", "content": system}, user("What is the capital of France?")]
    assert say(turns) == "Paris is the capital of France."


@pytest.mark.parametrize("offered", [{}, {"tools": [WEATHER]}])
def test_a_rag_prompt_of_langchain(offered: dict[str, Any]) -> None:
    prompt = (
        "Use the following pieces of retrieved context to answer the question.\n"
        f"Question: What can an ox pull?\nContext: {FACTS}\nAnswer:"
    )
    assert say(prompt, **offered) == "An ox can pull three tons."


def test_a_summary_keeps_the_sentences_of_the_text() -> None:
    asked = DEFAULT_SUMMARY_PROMPT.format_messages(context_str=FACTS)
    assert say(sent(asked)).startswith("The hub stores datasets")


def test_a_follow_up_is_made_to_stand_alone() -> None:
    prompt = DEFAULT_CONDENSE_PROMPT_TEMPLATE.format(
        chat_history="user: Tell me about oxen\nassistant: They are strong.",
        question="How long do they live?",
    )
    condensed = say(prompt)
    assert "How long do they live" in condensed
    assert "oxen" in condensed


CHOICES = "(1) Summarizes the essay\n\n(2) Finds facts about oxen"


def test_a_selector_gets_its_choice_as_json() -> None:
    parser = SelectionOutputParser()
    prompt = parser.format(DEFAULT_SINGLE_SELECT_PROMPT.template).format(
        num_choices=2, context_list=CHOICES, query_str="Which facts are there about oxen?"
    )
    (choice,) = parser.parse(say(prompt)).parsed_output
    assert choice.choice == 2
    assert choice.reason


def test_a_choice_is_given_in_the_words_asked_for() -> None:
    prompt = DEFAULT_QUERY_PROMPT.format(
        num_chunks=2, context_list=CHOICES, query_str="Which facts are there about oxen?"
    )
    assert say(prompt).startswith("ANSWER: 2\n")
    assert say("No choices are given below, are they?")  # not every prompt that says so has any


def test_a_selector_gets_its_choice_as_a_tool_call() -> None:
    selection = {"index": {"type": "integer"}, "reason": {"type": "string"}}
    prompt = DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL.format(
        num_choices=2, context_list=CHOICES, query_str="Which facts are there about oxen?"
    )
    made = calls(ask(prompt, tools=[tool("SingleSelection", "", selection)]))
    assert made[0][1]["index"] == 2


def test_documents_are_ranked_by_relevance() -> None:
    documents = "Document 1:\nThe hub stores datasets.\n\nDocument 2:\nOxen live twenty years.\n"
    asked = DEFAULT_CHOICE_SELECT_PROMPT.format(
        context_str=documents, query_str="How old do oxen get?"
    )
    assert say(asked).startswith("Doc: 2, Relevance: ")


def test_keywords_are_extracted() -> None:
    asked = DEFAULT_KEYWORD_EXTRACT_TEMPLATE.format(max_keywords=5, text="Oxen pull carts")
    assert say(asked) == "KEYWORDS: oxen, pull, carts"


def test_a_question_is_split_over_the_tools() -> None:
    offered = [ToolMetadata("About the hub", "hub"), ToolMetadata("About oxen", "oxen")]
    asked = PromptTemplate(DEFAULT_SUB_QUESTION_PROMPT_TMPL).format(
        tools_str=build_tools_text(offered), query_str="How do oxen use the hub?"
    )
    parsed = SubQuestionOutputParser().parse(say(asked)).parsed_output
    assert {question.tool_name for question in parsed} == {"hub", "oxen"}


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize(
    "instructions",
    [
        LlamaParser(Person).get_format_string(escape_json=False),
        LlamaParser(Person).get_format_string(),
        PydanticOutputParser(pydantic_object=Person).get_format_instructions(),
    ],
)
def test_a_schema_in_the_prompt_is_followed(instructions: str) -> None:
    prompt = f"Extract the person: Alice is 30 years old.\n{instructions}"
    assert json.loads(say(prompt)) == {"name": "Alice", "age": 30}


def test_an_object_that_is_no_schema_is_not_followed() -> None:
    prompt = 'Describe this in JSON: {"type": "farm", "properties": {"oxen": 7, "name": "Dawn"}}'
    assert json.loads(say(prompt, response_format={"type": "json_object"})).keys() == {"answer"}


def add(a: int, b: int) -> int:
    """Add two numbers and return the sum."""
    return a + b


def test_react_acts_observes_and_answers() -> None:
    tools, parser = [FunctionTool.from_defaults(add)], ReActOutputParser()
    question = [ChatMessage(role="user", content="What is 20 + 30?")]
    first = parser.parse(say(sent(ReActChatFormatter().format(tools, question))))
    assert isinstance(first, ActionReasoningStep)
    assert (first.action, first.action_input) == ("add", {"a": 20, "b": 30})
    steps = [first, ObservationReasoningStep(observation="50")]
    last = parser.parse(say(sent(ReActChatFormatter().format(tools, question, steps))))
    assert last.is_done
    assert "50" in last.response  # type: ignore[attr-defined]  # a response step


@pytest.mark.parametrize("written", ["{'a': 20, 'b': 30}", "{a: 20}", "{20, 30}", "{[]: 1}"])
def test_react_goes_on_from_an_action_however_it_was_written(written: str) -> None:
    system = ReActChatFormatter().format([FunctionTool.from_defaults(add)], [])
    turns = [
        *sent(system),
        user("What is 20 + 30?"),
        {
            "role": "assistant",
            "content": f"Thought: I add.\nAction: add\nAction Input: {written}",
        },
        user("Observation: 50"),
    ]
    assert "50" in say(turns).partition("Answer:")[2]


def test_react_answers_at_once_where_no_tool_fits() -> None:
    question = [ChatMessage(role="user", content="Hello there")]
    turns = sent(ReActChatFormatter().format([FunctionTool.from_defaults(add)], question))
    assert ReActOutputParser().parse(say(turns)).is_done
