"""The mind of the sandbox's chat models: a request in, an OpenAI-format completion out.

Everything said follows from the request alone; only the ids and the time differ between two calls.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oxen_sandbox import chat_prompts as prompts
from oxen_sandbox import chat_prose as prose
from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_checks import check, check_length, thinks
from oxen_sandbox.chat_clues import Clues
from oxen_sandbox.chat_conversation import Conversation, read, text_of
from oxen_sandbox.chat_families import Family, family_of
from oxen_sandbox.chat_fit import Tool
from oxen_sandbox.chat_stream import chunks
from oxen_sandbox.chat_synth import synthesise
from oxen_sandbox.chat_tokens import PER_CALL, count, prompt_tokens, tokens, usage
from oxen_sandbox.chat_tools import Step, next_calls, tools_of

Body = dict[str, Any]


@dataclass
class _Reply:
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    reasoning: str = ""


def complete(body: Body, model: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request with a chat.completion; raises Rejected where the upstream would."""
    family = family_of(model)
    check(body, model, family)
    prompt = prompt_tokens(body)
    check_length(sum(prompt), family)
    return _completion(body, family, prompt, _reply(body, family))


def stream(body: Body, model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Answer as chat.completion.chunk dictionaries, without [DONE]; raises Rejected at once."""
    completion = complete(body, model)
    options = body.get("stream_options") or {}
    return chunks(
        completion,
        include_usage=bool(options.get("include_usage")),
        reasoning_field=family_of(model).reasoning_field,
    )


def _reply(body: Body, family: Family) -> _Reply:
    """Decide what to say and which tools to call."""
    talk = read(body["messages"])
    if not body.get("tools") and (described := prompts.react_tools(talk.system)):
        reply = _react(body, talk, described)
    else:
        clues = _clues(talk)
        steps = _steps(body, talk, clues)
        text = "" if steps else _json(body, talk, clues) or _prose(talk)
        if steps and family.talks_before_tools:
            text = f"I'll use {_named(steps)} for that."
        reply = _Reply(text, steps)
    if family.reasons != "never" and thinks(body, asked_only=family.reasons == "asked"):
        doing = f"I should call {_named(reply.steps)}." if reply.steps else "I can answer this now."
        reply.reasoning = prose.thoughts(talk, doing)
    return reply


def _clues(talk: Conversation) -> Clues:
    return Clues(
        words.plain(prompts.question_of(talk)),
        talk.request,
        talk.results(),
        talk.media,
        choice=prompts.choice_of(talk.request),
        prose=lambda: _prose(talk),
    )


def _steps(body: Body, talk: Conversation, clues: Clues) -> list[Step]:
    """Choose the tools to call, for the question a prompt sets first, else for all it says."""
    tools = tools_of(body)
    choice = body.get("tool_choice") or "auto"
    parallel = body.get("parallel_tool_calls") is not False
    question = prompts.question_of(talk)
    if tools and question != talk.request:
        asked = replace(talk, request=question)
        if steps := next_calls(asked, tools, clues, choice=choice, parallel=parallel):
            return steps
    return next_calls(talk, tools, clues, choice=choice, parallel=parallel)


def _react(body: Body, talk: Conversation, described: list[Tool]) -> _Reply:
    """Take the next step of a ReAct prompt, whose tools and steps are all text."""
    texts = [(message["role"], text_of(message.get("content"))) for message in body["messages"]]
    prompts.react_history(talk, texts)
    steps = next_calls(talk, described, _clues(talk), parallel=False)
    return _Reply(prompts.react_text(steps, "" if steps else _prose(talk)))


def _prose(talk: Conversation) -> str:
    if talk.calls:
        return prose.after_tools(talk)
    return prompts.formed_answer(talk) or prose.answer(talk)


def _json(body: Body, talk: Conversation, clues: Clues) -> str | None:
    """Answer in JSON where the request's format or its words ask for it."""
    wanted = body.get("response_format") or {}
    schema: dict[str, Any] | None = None
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema") or {}
    elif wanted.get("type") == "json_object" or prompts.wants_json(talk.request):
        schema = prompts.wanted_schema(f"{talk.system}\n{talk.request}")
        asked = prompts.without_objects(talk.request)
        clues = replace(clues, clause=words.plain(asked), request=asked)
        if schema is None and wanted.get("type") == "json_object":
            schema = _listing(talk.request)
    if schema is None:
        return None
    return json.dumps(synthesise(schema, clues)[0], ensure_ascii=False)


def _listing(request: str) -> dict[str, Any]:
    """Make up the schema of a free JSON answer: "List 3 colors" becomes {"colors": [...]}."""
    if listed := re.search(r"\b(\d+|two|three|four|five)\s+([a-z]+s)\b", request):
        return {
            "type": "object",
            "properties": {
                listed[2]: {"type": "array", "items": {"type": "string"}, "minItems": 1}
            },
            "required": [listed[2]],
        }
    return {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def _completion(body: Body, family: Family, prompt: list[int], reply: _Reply) -> dict[str, Any]:
    """Cut the reply to `stop` and the token limit, and wrap it."""
    text = _before_stop(reply.text, body.get("stop"))
    thoughts, spoken = tokens(reply.reasoning), tokens(text)
    # Anthropic-like upstreams count their text as block 0.
    calls = _tool_calls(reply.steps, family.call_prefix, start=1 if text else 0)
    size = len(thoughts) + len(spoken) + sum(map(_call_tokens, calls))
    finish = "tool_calls" if calls else "stop"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and size > limit:
        finish, size = "length", limit
        thoughts = thoughts[:limit]
        spoken = spoken[: limit - len(thoughts)]
        calls = _within(calls, limit - len(thoughts) - len(spoken))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(spoken) or (None if calls else ""),
    }
    if thoughts and family.reasoning_field:
        message[family.reasoning_field] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return {
        "id": f"chatcmpl-{uuid.uuid4()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage(body, family, prompt, size, len(thoughts)),
    }


def _tool_calls(steps: list[Step], prefix: str, start: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{prefix}{uuid.uuid4().hex[:24]}",
            "type": "function",
            "index": index,
            "function": {
                "name": step.tool.name,
                "arguments": json.dumps(step.arguments, ensure_ascii=False),
            },
        }
        for index, step in enumerate(steps, start)
    ]


def _call_tokens(call: dict[str, Any]) -> int:
    return PER_CALL + count(call["function"]["arguments"])


def _within(calls: list[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """Keep the calls there is room for; the last is cut inside its arguments, as upstreams do."""
    kept = []
    for call in calls:
        if room <= PER_CALL:
            break
        arguments = "".join(tokens(call["function"]["arguments"])[: room - PER_CALL])
        kept.append({**call, "function": {**call["function"], "arguments": arguments}})
        room -= _call_tokens(call)
    return kept


def _before_stop(text: str, stop: str | list[str] | None) -> str:
    ends = [stop] if isinstance(stop, str) else stop or []
    cuts = [position for end in ends if end and (position := text.find(end)) >= 0]
    return text[: min(cuts)] if cuts else text


def _named(steps: list[Step]) -> str:
    return " and ".join(dict.fromkeys(step.tool.name for step in steps))
