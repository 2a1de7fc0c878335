"""When the sandbox's chat models call tools, which, with what, and when they stop."""

from __future__ import annotations

from typing import Any

import pytest

from .chat_requests import (
    ADD,
    CLAUDE,
    DEEPSEEK,
    GPT,
    IMAGE,
    VIDEO,
    WEATHER,
    answered,
    ask,
    calls,
    tool,
    user,
)

TOOLS = [WEATHER, ADD, IMAGE, VIDEO]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Hello!", []),
        ("Tell me about yourself.", []),
        ("What is the weather in San Francisco?", [("get_weather", {"city": "San Francisco"})]),
        ("Is it raining in Paris, TX?", [("get_weather", {"city": "Paris, TX"})]),
        ("What is 1 + 2?", [("add", {"a": 1, "b": 2})]),
        ("Add seven and 12", [("add", {"a": 7, "b": 12})]),
        ("Please paint an ox", [("flux_2_dev", {"prompt": "an ox"})]),
        ("Make a picture of a barn", [("flux_2_dev", {"prompt": "a barn"})]),
        (
            "Film a running ox for ten seconds",
            [("kling_video", {"prompt": "a running ox", "duration": 10})],
        ),
        (
            "weather in Paris and London",
            [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "London"})],
        ),
        ("\u2026\n\nWhat is 1 + 2?", [("add", {"a": 1, "b": 2})]),
        (
            "What is 3 + 4 and what is the weather in Oslo?",
            [("add", {"a": 3, "b": 4}), ("get_weather", {"city": "Oslo"})],
        ),
    ],
)
def test_it_calls_what_fits_the_words(words: str, expected: list[Any]) -> None:
    assert calls(ask(words, tools=TOOLS)) == expected


def test_tool_choice_is_obeyed() -> None:
    weather = "What is the weather in Rome?"
    assert not calls(ask(weather, tools=TOOLS, tool_choice="none"))
    assert len(calls(ask("Hello!", tools=TOOLS, tool_choice="required"))) == 1
    named = {"type": "function", "function": {"name": "add"}}
    assert calls(ask(weather, tools=TOOLS, tool_choice=named))[0][0] == "add"


def test_parallel_calls_can_be_turned_off() -> None:
    turns = [user("weather in Paris and London")]
    settings: dict[str, Any] = {"tools": [WEATHER], "parallel_tool_calls": False}
    first = ask(turns, **settings)
    assert calls(first) == [("get_weather", {"city": "Paris"})]
    turns += answered(first, "sunny")
    second = ask(turns, **settings)
    assert calls(second) == [("get_weather", {"city": "London"})]
    turns += answered(second, "rainy")
    last = ask(turns, **settings)
    assert not calls(last)
    assert "sunny" in last["content"]
    assert "rainy" in last["content"]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_sequence_waits_for_its_results(model: dict[str, Any]) -> None:
    turns = [user("Draw an ox at dawn, then film it for five seconds.")]
    first = ask(turns, model, tools=TOOLS)
    assert calls(first) == [("flux_2_dev", {"prompt": "an ox at dawn"})]
    turns += answered(first, '{"url": "https://hub.example/ox.png", "cost": "0.03"}')
    second = ask(turns, model, tools=TOOLS)
    filmed = {
        "prompt": "an ox at dawn",
        "image_url": "https://hub.example/ox.png",
        "duration": 5,
    }
    assert calls(second) == [("kling_video", filmed)]
    turns += answered(second, '{"url": "https://hub.example/ox.mp4"}')
    last = ask(turns, model, tools=TOOLS)
    assert not calls(last)
    assert "https://hub.example/ox.png" in last["content"]
    assert "https://hub.example/ox.mp4" in last["content"]


def test_a_new_question_starts_afresh() -> None:
    turns = [user("What is the weather in Rome?")]
    turns += answered(ask(turns, tools=TOOLS), "sunny")
    turns += [{"role": "assistant", "content": "Sunny."}, user("And what is 2 + 2?")]
    assert calls(ask(turns, tools=TOOLS)) == [("add", {"a": 2, "b": 2})]


@pytest.mark.parametrize(
    ("error", "corrected"),
    [
        ("Error: length must be one of '6', '8'", {"length": "6"}),
        ("ValidationError: for this prompt width should be at most 512", {"width": 512}),
        ("invalid_params: width must be between 1000 and 2000", {"width": 1000}),
    ],
)
def test_a_correctable_error_is_retried_once(error: str, corrected: dict[str, Any]) -> None:
    size = {"width": {"type": "integer"}, "length": {"type": "string"}}
    make = tool("make_image", "Make an image", {"prompt": {"type": "string"}, **size})
    turns = [user("Draw an ox, width 900, length 5")]
    first = ask(turns, tools=[make])
    turns += answered(first, error)
    second = ask(turns, tools=[make])
    assert calls(second) == [("make_image", {**calls(first)[0][1], **corrected})]
    turns += answered(second, error)
    last = ask(turns, tools=[make])
    assert not calls(last)
    assert error in last["content"]


def test_a_missing_argument_is_supplied() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1}'},
    }
    failed = {"role": "assistant", "content": None, "tool_calls": [call]}
    turns = [user("What is 1 + 2"), *answered(failed, "Error: Missing required argument 'b'.")]
    assert calls(ask(turns, tools=[ADD])) == [("add", {"a": 1, "b": 2})]


@pytest.mark.parametrize("written", ["", '{"a": 1', "[1, 2]"])
def test_arguments_that_are_none_are_read_as_if_there_were_none(written: str) -> None:
    function = {"name": "add", "arguments": written}
    call = {"id": "call_1", "type": "function", "function": function}
    failed = {"role": "assistant", "content": None, "tool_calls": [call]}
    turns = [user("What is 1 + 2"), *answered(failed, "Error: the arguments are no JSON object")]
    assert calls(ask(turns, tools=[ADD])) == [("add", {"a": 1, "b": 2})]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ('{"sky": "clear", "wind_speed": 7, "rain": null}', "sky is clear, wind speed is 7."),
        ('["clear", {"wind": 7}]', "clear; wind is 7."),
    ],
)
def test_a_result_in_json_is_told_in_words(result: str, said: str) -> None:
    turns = [user("What is the weather in Rome?")]
    turns += answered(ask(turns, tools=[WEATHER]), result)
    assert ask(turns, tools=[WEATHER])["content"] == f"Weather (Rome): {said}"


def test_an_error_it_cannot_correct_is_explained() -> None:
    turns = [user("Draw an ox")]
    turns += answered(ask(turns, tools=[IMAGE]), "Error: the budget of $1.00 is spent")
    last = ask(turns, tools=[IMAGE])
    assert not calls(last)
    assert "the budget of $1.00 is spent" in last["content"]


def test_an_image_sent_after_a_tool_result_belongs_to_it() -> None:
    turns = [user("Draw an ox")]
    turns += answered(ask(turns, tools=[IMAGE]), "Made an image.")
    part = {"type": "image_url", "image_url": {"url": "https://hub.example/ox.png"}}
    last = ask([*turns, user([part])], tools=[IMAGE])
    assert not calls(last)
    assert "https://hub.example/ox.png" in last["content"]


def test_calls_look_as_their_family_makes_them() -> None:
    words = "What is the weather in Rome?"
    gpt, claude = ask(words, tools=[WEATHER]), ask(words, CLAUDE, tools=[WEATHER])
    assert gpt["content"] is None
    assert gpt["tool_calls"][0]["id"].startswith("call_")
    assert gpt["tool_calls"][0]["index"] == 0
    assert "get_weather" in claude["content"]
    assert claude["tool_calls"][0]["id"].startswith("toolu_")
    assert claude["tool_calls"][0]["index"] == 1


def test_ids_differ_between_requests() -> None:
    made = [ask("Draw an ox", tools=[IMAGE])["tool_calls"][0]["id"] for _ in range(2)]
    assert made[0] != made[1]


def test_reasoning_sent_back_lets_the_loop_go_on() -> None:
    turns = [user("What is the weather in Rome?")]
    turns += answered(ask(turns, DEEPSEEK, tools=[WEATHER]), "sunny")
    assert "sunny" in ask(turns, DEEPSEEK, tools=[WEATHER])["content"]


HANDOFF_FIELDS = {"to_agent": {"type": "string"}, "reason": {"type": "string"}}
HANDOFF = tool(
    "handoff",
    "Useful for handing off to another agent.\nCurrently available agents:\n"
    "{'Writer': 'Writes reports.', 'Meteorologist': 'Tells the weather of a city.'}",
    HANDOFF_FIELDS,
)


def test_it_hands_off_what_another_agent_does() -> None:
    turns = [user("Add 2 and 3, then tell me the weather in Oslo.")]
    first = ask(turns, tools=[ADD, HANDOFF])
    assert calls(first) == [("add", {"a": 2, "b": 3})]
    turns += answered(first, "5")
    second = ask(turns, tools=[ADD, HANDOFF])
    assert calls(second)[0][1]["to_agent"] == "Meteorologist"
    turns += answered(second, "Agent Meteorologist is now handling the request.")
    third = ask(turns, tools=[WEATHER, HANDOFF])
    assert calls(third) == [("get_weather", {"city": "Oslo"})]
    turns += answered(third, "snow")
    assert not calls(ask(turns, tools=[WEATHER, HANDOFF]))


def test_the_agent_it_was_handed_to_answers() -> None:
    turns = [user("Write a report about oxen.")]
    turns += answered(ask(turns, tools=[HANDOFF]), "Agent Writer is now handling the request.")
    last = ask(turns, tools=[HANDOFF])
    assert not calls(last)
    assert "oxen" in last["content"]


@pytest.mark.parametrize(
    "listed", ["no agents", "{Writer: writes reports}", "{'Writer'}", "{[]: 1}"]
)
def test_a_handoff_without_a_list_of_agents_is_not_taken(listed: str) -> None:
    offered = tool("handoff", f"Hand off to one of {listed}", HANDOFF_FIELDS)
    system = {"role": "system", "content": "Hand off to the Writer."}
    assert not calls(ask([system, user("Write a report about oxen.")], tools=[offered]))


def test_it_hands_off_when_told_to() -> None:
    system = {"role": "system", "content": "When you are done, hand off to the Writer."}
    turns = [system, user("What is 2 + 3?")]
    turns += answered(ask(turns, tools=[ADD, HANDOFF]), "5")
    last = ask(turns, tools=[ADD, HANDOFF])
    assert calls(last)[0][1]["to_agent"] == "Writer"
    turns += answered(last, "Agent Writer is now handling the request.")
    assert not calls(ask(turns, tools=[HANDOFF]))


def test_a_schema_offered_as_a_tool_is_filled_from_the_words() -> None:
    person = {"name": {"type": "string"}, "age": {"type": "integer"}}
    made = calls(ask("Alice is 30 years old.", tools=[tool("Person", "", person)]))
    assert made == [("Person", {"name": "Alice", "age": 30})]


def test_a_tool_without_arguments_gets_an_empty_object() -> None:
    clock = tool("current_time", "Tell the time", {})
    assert calls(ask("What time is it?", tools=[clock])) == [("current_time", {})]


def test_a_required_answer_schema_comes_after_the_tool_that_informs_it() -> None:
    report = {"city": {"type": "string"}, "temperature": {"type": "number"}}
    settings: dict[str, Any] = {
        "tools": [WEATHER, tool("Weather", "A weather report", report)],
        "tool_choice": "required",
    }
    turns = [user("What is the weather in Paris?")]
    first = ask(turns, **settings)
    assert calls(first) == [("get_weather", {"city": "Paris"})]
    turns += answered(first, '{"temperature": 21.5, "sky": "clear"}')
    assert calls(ask(turns, **settings)) == [("Weather", {"city": "Paris", "temperature": 21.5})]


def test_digits_of_an_address_are_no_numbers() -> None:
    """An id that happens to hold a 4 must not make the agent order four films."""
    film = tool(
        "generate_video",
        "Makes videos",
        {
            "prompt": {"type": "string"},
            "num_generations": {"type": "integer", "minimum": 1, "maximum": 4},
        },
        required=["prompt"],
    )
    draw = tool("generate_image", "Makes images", {"prompt": {"type": "string"}})
    turns = [user("Draw an image of an ox at dawn. Then make a video of an ox walking.")]
    first = ask(turns, tools=[draw, film])
    job = "4be4717f-ba8f-42fc-96b7-32510d674fb2"
    made = f"1. http://hub/generations/4/{job}?generations=4 (generation id {job})"
    turns += answered(first, made)
    assert calls(ask(turns, tools=[draw, film])) == [
        ("generate_video", {"prompt": "an ox walking"})
    ]
