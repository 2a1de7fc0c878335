"""Prompts that set a task in a known form: documents and a question, a choice, JSON, ReAct."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_conversation import Call, Conversation, dictionary
from oxen_sandbox.chat_fit import Tool
from oxen_sandbox.chat_schema import fault
from oxen_sandbox.chat_tools import Step

_RULED = re.compile(r"-{5,}\s*\n(.*?)\n?\s*-{5,}", re.DOTALL)
_CONTEXTS = (
    re.compile(r"<(context|documents?|docs)>(?P<text>.*?)</\1>", re.DOTALL | re.IGNORECASE),
    re.compile(
        r"Context(?: information)?[^\n]*\bbelow\b[^\n]*\n\s*-{5,}\s*\n(?P<text>.*?)\n?\s*-{5,}",
        re.DOTALL | re.IGNORECASE,
    ),
    re.compile(
        r"documents for the context:\s*(?P<text>.*?)\s*(?:Existing Answer:|Instruction:|\Z)",
        re.DOTALL,
    ),
    re.compile(r"New Context:\s*(?:-{5,}\s*)?(?P<text>.*?)\s*(?:-{5,}\s*)?\n\s*Query:", re.DOTALL),
    re.compile(r"more context below\.\s*-{5,}\s*(?P<text>.*?)\s*-{5,}", re.DOTALL),
    re.compile(
        r"^\s*(?:Retrieved )?(?:Context|Documents?|Sources?)\s*:\s*(?P<text>.+?)(?=\n\s*(?:Question|Query|Answer|Helpful Answer|User|Instructions?)\s*:|\Z)",
        re.DOTALL | re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(
        r"(?:summary of|summari[sz]e) the following[^\n]*[:.]\s*(?P<text>.*?)(?:SUMMARY:|\Z)",
        re.DOTALL | re.IGNORECASE,
    ),
)
_QUESTION = re.compile(
    r"^\s*(?:The original query is as follows|Query|Question|User question|Input)\s*:\s*(.+?)\s*(?=\n\s*\w[\w ]{0,30}:|\n\s*We have|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_EXISTING = re.compile(
    r"(?:Original Answer|Existing Answer|existing answer)\s*:\s*(.+?)\s*(?=\n\s*(?:We have|New Answer|Instruction)|\Z)",
    re.DOTALL,
)
_FOLLOW_UP = re.compile(
    r"(?:Follow[- ]?Up (?:Input|Message|Question))>?\s*:?\s*(.+?)\s*(?=\n\s*<?Standalone|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_HISTORY = re.compile(r"Chat History>?\s*:?\s*(.+?)\s*<?Follow[- ]?Up", re.DOTALL | re.IGNORECASE)
_CHOICES = re.compile(r"^\s*\((\d+)\)\s*(.+?)(?=^\s*\(\d+\)|^-{5,}|\Z)", re.MULTILINE | re.DOTALL)
_ASKED = re.compile(r"question:\s*'(.+?)'\s*$", re.MULTILINE | re.DOTALL)
_REACT_TOOL = re.compile(
    r"> Tool Name: (\S+)\s*\nTool Description: (.*?)\nTool Args: (\{.*?\})\s*(?=\n|$)", re.DOTALL
)
_ACTION = re.compile(r"Action:\s*([^\n(]+?)\s*\n+Action Input:\s*(\{.*\})", re.DOTALL)
_DECODER = json.JSONDecoder()
_NO_IDEA = "I don't know: the documents do not say."


def formed_answer(talk: Conversation) -> str | None:
    """Answer a prompt of a known form, or return None where it has none."""
    for form in _FORMS:
        if (reply := form(talk)) is not None:
            return reply
    return None


def _condense(talk: Conversation) -> str | None:
    """Rewrite a follow-up question so that it stands alone."""
    if "tandalone question" not in talk.request or not (found := _FOLLOW_UP.search(talk.request)):
        return None
    question = found[1].strip()
    history = _HISTORY.search(talk.request)
    asked = (
        re.findall(r"^\s*(?:user|human)\s*:\s*(.+)$", history[1], re.MULTILINE | re.IGNORECASE)
        if history
        else []
    )
    if not asked or not re.search(
        r"\b(it|its|they|them|their|that|this|those|he|she|his|her|there)\b",
        question,
        re.IGNORECASE,
    ):
        return question
    return f"{question.rstrip('?')} (about: {words.subject(asked[-1]).rstrip('?')})?"


def _select(talk: Conversation) -> str | None:
    """Pick from numbered choices, in the answer format asked for."""
    if "hoices are given below" not in talk.request or (number := choice_of(talk.request)) is None:
        return None
    reason = "It is the choice closest to the question."
    if "ANSWER: <number" in talk.request:
        return f"ANSWER: {number}\n{reason}"
    return json.dumps([{"choice": number, "reason": reason}])


def choice_of(text: str) -> int | None:
    """Return the number of the choice that fits the question best; None where there are no choices."""
    if "hoices are given" not in text:
        return None
    choices = [(int(number), choice) for number, choice in _CHOICES.findall(text)]
    if not choices or not (asked := _ASKED.search(text)):
        return None
    question = words.stems(asked[1])
    return max(choices, key=lambda item: (words.overlap(question, item[1]), -item[0]))[0]


def _rank(talk: Conversation) -> str | None:
    """Score numbered documents by relevance: "Doc: 2, Relevance: 9"."""
    if "Relevance:" not in talk.request or "Doc:" not in talk.request:
        return None
    task = talk.request.split("try this now:")[-1]
    question = words.stems("".join(_QUESTION.findall(task)[-1:]))
    documents = re.findall(
        r"Document (\d+):\n(.*?)(?=\nDocument \d+:|\nQuestion:)", task, re.DOTALL
    )
    ranked = sorted(
        ((words.overlap(question, text), int(number)) for number, text in documents),
        key=lambda r: (-r[0], r[1]),
    )
    return (
        "\n".join(
            f"Doc: {number}, Relevance: {min(10, 6 + int(score))}"
            for score, number in ranked
            if score > 0
        )
        or "Doc: 1, Relevance: 1"
    )


def _subquestions(talk: Conversation) -> str | None:
    """Ask each listed tool its part of a question, as JSON in a code block."""
    if '"sub_question"' not in talk.request:
        return None
    listed, question = talk.request.split("<User Question>")[-2:]
    tools = dictionary("".join(re.findall(r"```json\s*(\{.*?\})\s*```", listed, re.DOTALL)[-1:]))
    asked = question.split("<Output>")[0].strip()
    stems = words.stems(asked)
    fitting = [n for n, about in tools.items() if words.overlap(stems, f"{n} {about}") > 0]
    items = [{"sub_question": asked, "tool_name": name} for name in fitting or list(tools)[:1]]
    return f"```json\n{json.dumps({'items': items}, indent=4)}\n```"


def _keywords(talk: Conversation) -> str | None:
    """Extract keywords in the format asked for."""
    if "KEYWORDS: <keywords>" not in talk.request or not (text := _RULED.search(talk.request)):
        return None
    found = [word for word in re.findall(r"[A-Za-z][\w-]+", text[1]) if words.stems(word)]
    return f"KEYWORDS: {', '.join(list(dict.fromkeys(word.lower() for word in found))[:10])}"


def _from_documents(talk: Conversation) -> str | None:
    """Answer from the sentences of the given documents that speak of the question."""
    text = f"{talk.system}\n{talk.request}"
    found = next((match for pattern in _CONTEXTS if (match := pattern.search(text))), None)
    if not found:
        return None
    asked = _QUESTION.findall(talk.request)
    inside = found["text"].strip() in talk.request
    question = asked[-1] if asked else "" if inside else talk.request
    reply = retrieve(found["text"], question)
    if existing := _EXISTING.search(text):
        stems = words.stems(question or talk.request)
        better = reply and words.overlap(stems, reply) > words.overlap(stems, existing[1])
        return reply if better else existing[1].strip()
    return reply or _NO_IDEA


def retrieve(text: str, question: str, most: int = 2) -> str:
    """Return the sentences that overlap the question best, in their order; the first ones where nothing is asked."""
    lines = [
        line
        for line in words.sentences(text)
        if not re.match(r"(file_path|page_label|source|file_name)\s*:", line)
    ]
    stems = words.stems(question)
    if not stems or re.search(r"\bsummar", question, re.IGNORECASE):
        return " ".join(lines[:3])
    scored = [(words.overlap(stems, line), index) for index, line in enumerate(lines)]
    top = max(scored, default=(0.0, 0))[0]
    if top <= 0:
        return ""
    chosen = sorted(
        sorted((s for s in scored if s[0] > top - 0.5), key=lambda s: (-s[0], s[1]))[:most],
        key=lambda s: s[1],
    )
    return " ".join(
        line if (line := lines[index])[-1] in ".!?" else f"{line}." for _, index in chosen
    )


_FORMS: tuple[Callable[[Conversation], str | None], ...] = (
    _condense,
    _select,
    _rank,
    _subquestions,
    _keywords,
    _from_documents,
)


def question_of(talk: Conversation) -> str:
    """Return the question or query a prompt sets, else the request itself."""
    found = _ASKED.search(talk.request) or (
        _QUESTION.search(talk.request) if "ontext" in talk.request else None
    )
    return found[1] if found else talk.request


def wanted_schema(text: str) -> dict[str, Any] | None:
    """Find the JSON Schema a prompt asks its answer to follow; None where it asks for no JSON."""
    if not re.search(r"\bjson\b", text, re.IGNORECASE):
        return None
    schema = None
    for value, _, _ in _objects(text):
        if isinstance(value.get("properties"), dict) and not fault(value):
            schema = value  # the last one: format instructions show an example first
    if schema:
        return schema
    if '{{"' in text:  # braces escaped for a template that was never filled
        return wanted_schema(text.replace("{{", "{").replace("}}", "}"))
    keys = re.search(
        r"(?:keys?|fields?|properties)\s*:?\s+((?:['\"`]\w+['\"`](?:,?\s*(?:and|or)?\s*))+)|((?:['\"`]\w+['\"`](?:,?\s*(?:and)?\s*))+)(?:as )?(?:keys?|fields?)",
        text,
    )
    if keys:
        named = re.findall(r"['\"`](\w+)['\"`]", keys[0])
        return {
            "type": "object",
            "properties": {name: {"type": "string"} for name in named},
            "required": named,
        }
    return None


def without_objects(text: str) -> str:
    """Cut the JSON objects out of a prompt, so that a schema is not taken for the user's words."""
    if '{{"' in text:
        text = text.replace("{{", "{").replace("}}", "}")
    kept, position = [], 0
    for _, start, end in _objects(text):
        kept.append(text[position:start])
        position = end
    return " ".join([*kept, text[position:]])


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Find the JSON objects in a text, with where they stand."""
    position = 0
    while (start := text.find("{", position)) >= 0:
        try:
            value, position = _DECODER.raw_decode(text, start)
        except ValueError:
            position = start + 1
            continue
        yield value, start, position


def wants_json(text: str) -> bool:
    """Tell whether a prompt asks for nothing but JSON."""
    return bool(
        re.search(
            r"(?:return|respond|reply|answer|output|formatted)\b[^.\n]{0,60}\bjson\b|\bonly json\b|valid json object",
            text,
            re.IGNORECASE,
        )
    )


def react_tools(system: str) -> list[Tool]:
    """Read the tools a ReAct prompt describes; none where it is no ReAct prompt."""
    if "Action Input:" not in system:
        return []
    return [
        Tool(name, description.strip(), dictionary(arguments))
        for name, description, arguments in _REACT_TOOL.findall(system)
    ]


def react_history(talk: Conversation, texts: list[tuple[str, str]]) -> None:
    """Turn the ReAct steps among (role, text) messages into calls with results."""
    talk.request, talk.earlier, talk.calls = "", [], []
    for role, text in texts:
        action = _ACTION.search(text) if role == "assistant" else None
        if action:
            talk.calls.append(Call(action[1].strip(), dictionary(action[2])))
        elif text.startswith("Observation:") and talk.calls:
            talk.calls[-1].result = text.removeprefix("Observation:").strip()
        elif role == "user":
            talk.earlier += [talk.request] if talk.request else []
            talk.request, talk.calls = text, []


def react_text(steps: list[Step], answer: str) -> str:
    """Write the next ReAct step: an action, or the answer."""
    if not steps:
        return f"Thought: I can answer without using any more tools. I'll use the user's language to answer\nAnswer: {answer}"
    step = steps[0]
    return (
        "Thought: The current language of the user is: English. I need to use a tool to help me answer the question.\n"
        f"Action: {step.tool.name}\nAction Input: {json.dumps(step.arguments, ensure_ascii=False)}"
    )
