"""What the sandbox's chat models answer: what a test scripted, else what follows from the request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oxen_sandbox.chat import complete
from oxen_sandbox.chat_replies import Reply
from oxen_sandbox.wire import Rejected

from .chat_requests import (
    ADD,
    CLAUDE,
    DEEPSEEK,
    GPT,
    IMAGE,
    O_SERIES,
    VIDEO,
    WEATHER,
    answered,
    ask,
    body,
    calls,
    say,
    script,
    tool,
    user,
)

TOOLS = [WEATHER, ADD, IMAGE, VIDEO]
ONE_BY_ONE: dict[str, Any] = {"tools": TOOLS, "parallel_tool_calls": False}


# Scripted


def choice(request: dict[str, Any], *replies: Reply, model: dict[str, Any] = GPT) -> Any:
    return complete(request, model, script(*replies))["choices"][0]


def test_replies_are_fetched_in_order_and_then_there_are_none() -> None:
    replies = script(Reply("first"), Reply("second"))
    texts = [
        complete(body("Hello"), GPT, replies)["choices"][0]["message"]["content"] for _ in range(3)
    ]
    assert texts == ["first", "second", "You said: Hello"]
    assert replies.left() == []


def test_a_reply_waits_for_the_request_it_is_meant_for() -> None:
    replies = script(
        Reply("about Bruno", when=lambda request: "Bruno" in str(request["messages"])),
        Reply("by Claude", when={"model": CLAUDE["id"]}),
        Reply("any"),
    )

    def answer(text: str, model: dict[str, Any] = GPT) -> Any:
        return complete(body(text, model), model, replies)["choices"][0]["message"]["content"]

    assert answer("Hello") == "any"
    assert answer("Hello") == "You said: Hello"
    assert answer("Hello", CLAUDE) == "by Claude"
    assert [reply.text for reply in replies.left()] == ["about Bruno"]
    assert answer("Who is Bruno?") == "about Bruno"


@pytest.mark.parametrize(("times", "left"), [(1, []), (2, []), (3, ["ox"]), (None, [])])
def test_a_reply_may_answer_several_requests(times: int | None, left: list[str]) -> None:
    replies = script(Reply("ox", times=times), Reply("last"))
    texts = [
        complete(body("Hello"), GPT, replies)["choices"][0]["message"]["content"] for _ in range(2)
    ]
    assert texts == ["ox", "last" if times == 1 else "ox"]
    assert [reply.text for reply in replies.left()] == left + (["last"] if times != 1 else [])


def test_a_reply_for_all_that_nobody_fetched_is_left() -> None:
    assert script(Reply("ox", times=None)).left() == [Reply("ox", times=None)]


def test_a_predicate_that_fails_is_told_and_uses_nothing_up() -> None:
    replies = script(Reply("no", when=lambda request: request["tools"]))
    with pytest.raises(Rejected, match="KeyError") as caught:
        complete(body("Hello"), GPT, replies)
    assert caught.value.status == 500
    assert len(replies.left()) == 1


def test_a_request_that_is_refused_fetches_no_reply() -> None:
    replies = script(Reply("no"))
    with pytest.raises(Rejected):
        complete(body([]), GPT, replies)
    assert len(replies.left()) == 1


def test_scripted_tool_calls_come_with_their_text_and_arguments_as_they_are() -> None:
    reply = Reply("Both.", [("get_weather", {"city": "Oslo"}), ("get_weather", '{"city": "Bru')])
    made = choice(body("Hello", tools=[WEATHER]), reply)
    assert made["message"]["content"] == "Both."
    assert [call["function"] for call in made["message"]["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
        {"name": "get_weather", "arguments": '{"city": "Bru'},
    ]
    assert made["finish_reason"] == "tool_calls"
    silent = choice(body("Hello", CLAUDE), Reply(tool_calls=[("add", {})]), model=CLAUDE)
    assert silent["message"]["content"] is None


def test_everything_else_of_an_answer_can_be_scripted() -> None:
    reply = Reply("", refusal="I will not.", finish_reason="content_filter", usage={"cost": 0.25})
    completion = complete(body("Hello"), GPT, script(reply))
    (made,) = completion["choices"]
    assert made["message"] == {"role": "assistant", "content": None, "refusal": "I will not."}
    assert made["finish_reason"] == "content_filter"
    assert completion["usage"]["cost"] == 0.25
    assert completion["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    ("model", "reasoning", "shown"),
    [
        (DEEPSEEK, "So it is.", {"reasoning_content": "So it is."}),
        (DEEPSEEK, "", {}),
        (DEEPSEEK, None, {"reasoning_content": "Let me think about this: Why?"}),
        (O_SERIES, "So it is.", {"reasoning_content": "So it is."}),
        (O_SERIES, None, {}),
        (GPT, None, {}),
    ],
)
def test_reasoning_is_the_scripts_or_the_familys(
    model: dict[str, Any], reasoning: str | None, shown: dict[str, str]
) -> None:
    made = choice(body("Why?", model), Reply("Because.", reasoning=reasoning), model=model)
    assert made["message"] == {"role": "assistant", "content": "Because.", **shown}


def test_a_reply_is_read_from_json_and_written_to_it() -> None:
    data = {"text": "ox", "tool_calls": [["add", {"a": 1}]], "when": {"n": 1}, "times": None}
    assert Reply.from_json(data) == Reply("ox", [("add", {"a": 1})], when={"n": 1}, times=None)
    assert Reply.from_json(data).to_json() == data


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ("ox", "a reply: 'ox' is not of type 'object'"),
        ({"txt": "ox"}, "'txt' was unexpected"),
        ({"text": 7}, "text: 7 is not of type 'string'"),
        ({"tool_calls": [["add"]]}, "tool_calls.0:"),
        ({"tool_calls": [{"name": "add"}]}, "tool_calls.0:"),
        ({"when": "always"}, "when: 'always' is not of type 'object'"),
    ],
)
def test_what_is_no_reply_is_refused(data: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Reply.from_json(data)


# Without a script: text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello", "You said: Hello"),
        ([{"type": "text", "text": "Hello"}], "You said: Hello"),
        ("ox " * 300, f"You said: {('ox ' * 300)[:400]}…"),
        (
            [
                {"type": "image_url", "image_url": {"url": "https://x.example/ox.png"}},
                {"type": "text", "text": "What is this?"},
            ],
            "You said: What is this? [image]",
        ),
    ],
)
def test_a_request_is_repeated(content: Any, expected: str) -> None:
    assert say([user(content)]) == expected


def test_it_is_the_last_turn_that_is_repeated() -> None:
    earlier = [user("One."), {"role": "assistant", "content": "Yes."}]
    assert say([*earlier, user("Two."), user("Three.")]) == "You said: Two.\nThree."


def test_the_same_request_has_the_same_answer_and_another_id() -> None:
    first, second = (complete(body("Tell me about oxen", tools=TOOLS), GPT) for _ in range(2))
    functions = [c["function"] for c in first["choices"][0]["message"]["tool_calls"]]
    assert functions == [c["function"] for c in second["choices"][0]["message"]["tool_calls"]]
    assert first["id"] != second["id"]


# Without a script: tools


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", ["get_weather"]),
        ("Is the weather fine?", ["get_weather"]),
        ("Add 2 and 3", ["add"]),
        ("An address", ["get_weather"]),
        ("Make a video, then an image", ["generate_video", "generate_image"]),
        ("Two images, please", ["generate_image"]),
        ("Call generate_video", ["generate_video"]),
        ("Images and images", ["generate_image"]),
    ],
)
def test_tools_are_called_as_the_words_name_them_else_the_first(
    text: str, expected: list[str]
) -> None:
    assert [name for name, _ in calls(ask(text, tools=TOOLS))] == expected


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("magic_function", "What is magic_function(3)?", True),
        ("magic_function", "Use some magic", False),
        ("GetWeather", "the weather", True),
        ("create", "Create it", True),
        ("create", "Hello", False),
        ("flux_2_dev", "with flux 2 dev", True),
    ],
)
def test_a_tool_is_named_by_all_words_of_its_name(name: str, text: str, named: bool) -> None:
    offered = [tool("other", "", {}), tool(name, "", {})]
    assert calls(ask(text, tools=offered)) == [(name if named else "other", {})]


def test_tool_choice_is_obeyed() -> None:
    text = "What is the weather?"
    assert not calls(ask(text, tools=TOOLS, tool_choice="none"))
    named = {"type": "function", "function": {"name": "add"}}
    turns = [user(text)]
    for _ in range(2):  # forced is forced, even after a result
        message = ask(turns, tools=TOOLS, tool_choice=named)
        assert [name for name, _ in calls(message)] == ["add"]
        turns += answered(message, "3")


def test_a_required_call_is_one_not_made_before() -> None:
    turns = [user("What is the weather?")]
    names = []
    for _ in range(5):
        message = ask(turns, tools=TOOLS, tool_choice="required")
        names += [name for name, _ in calls(message)]
        turns += answered(message, "fine")
    assert names == ["get_weather", "add", "generate_image", "generate_video", "get_weather"]


@pytest.mark.parametrize("result", ["sunny", "Error: no such city", ""])
def test_after_a_result_it_answers_in_text(result: str) -> None:
    turns = [user("The weather, and an image")]
    first = ask(turns, tools=TOOLS)
    assert len(calls(first)) == 2
    turns += answered(first, result, "made")
    last = ask(turns, tools=TOOLS)
    assert not calls(last)
    assert last["content"] == f"{result}\nmade"


def test_a_new_turn_may_call_again() -> None:
    turns = [user("The weather?")]
    turns += answered(ask(turns, tools=TOOLS), "sunny")
    turns += [{"role": "assistant", "content": "Sunny."}, user("And tomorrow's weather?")]
    assert [name for name, _ in calls(ask(turns, tools=TOOLS))] == ["get_weather"]


def test_one_at_a_time_the_named_tools_follow_one_another() -> None:
    turns = [user('Make an image of "an ox". Then a video of "it walking", duration 10.')]
    first = ask(turns, **ONE_BY_ONE)
    assert calls(first) == [("generate_image", {"prompt": "an ox"})]
    turns += answered(first, "Made https://hub.example/ox.png (4 credits).")
    second = ask(turns, **ONE_BY_ONE)
    video = {"prompt": "it walking", "image_url": "https://hub.example/ox.png", "duration": 10}
    assert calls(second) == [("generate_video", video)]
    turns += answered(second, "done")
    assert not calls(ask(turns, **ONE_BY_ONE))


def test_an_image_sent_after_a_tool_result_belongs_to_it() -> None:
    turns = [user("Make an image")]
    turns += answered(ask(turns, tools=TOOLS), "Made an image.")
    part = {"type": "image_url", "image_url": {"url": "https://hub.example/ox.png"}}
    assert ask([*turns, user([part])], tools=TOOLS)["content"] == "Made an image."


def test_calls_look_as_their_family_makes_them() -> None:
    gpt, claude = ask("Weather?", tools=[WEATHER]), ask("Weather?", CLAUDE, tools=[WEATHER])
    assert gpt["content"] is None
    assert gpt["tool_calls"][0]["id"].startswith("call_")
    assert gpt["tool_calls"][0]["index"] == 0
    assert claude["content"] == "I'll use get_weather for that."
    assert claude["tool_calls"][0]["id"].startswith("toolu_")
    assert claude["tool_calls"][0]["index"] == 1


def test_ids_differ_between_requests() -> None:
    made = [ask("Weather?", tools=TOOLS)["tool_calls"][0]["id"] for _ in range(2)]
    assert made[0] != made[1]


def test_reasoning_sent_back_lets_the_loop_go_on() -> None:
    turns = [user("The weather?")]
    turns += answered(ask(turns, DEEPSEEK, tools=[WEATHER]), "sunny")
    assert ask(turns, DEEPSEEK, tools=[WEATHER])["content"] == "sunny"


def test_parallel_calls_take_the_values_of_the_prompt_in_turn() -> None:
    made = ask("Add 1 and 2, and multiply 3 by 4", tools=[ADD, {**ADD, "function": MULTIPLY}])
    assert calls(made) == [("add", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4})]


MULTIPLY = {**ADD["function"], "name": "multiply"}


# Without a script: JSON

OX = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
OX_FORMAT = {"type": "json_schema", "json_schema": {"name": "Ox", "schema": OX}}


def test_json_schema_is_obeyed() -> None:
    made = json.loads(say('An ox called "Bruno"', response_format=OX_FORMAT))
    assert made == {"name": "Bruno"}


def test_json_comes_after_the_tools_and_knows_their_results() -> None:
    turns = [user("What is the weather?")]
    settings: dict[str, Any] = {"tools": [WEATHER], "response_format": OX_FORMAT}
    first = ask(turns, **settings)
    assert [name for name, _ in calls(first)] == ["get_weather"]
    turns += answered(first, '{"name": "snow"}')
    assert json.loads(say(turns, **settings)) == {"name": "snow"}


@pytest.mark.parametrize(
    ("text", "keys"),
    [("A joke as JSON with `setup` and `punchline`", {"setup", "punchline"}), ("JSON", {"answer"})],
)
def test_json_object_has_the_keys_the_prompt_quotes(text: str, keys: set[str]) -> None:
    assert set(json.loads(say(text, response_format={"type": "json_object"}))) == keys
