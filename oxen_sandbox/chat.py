"""`POST /chat/completions`: what the hub checks, the model's answer whole or in chunks, its price."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.chat_checks import check, check_length
from oxen_sandbox.chat_families import family_of
from oxen_sandbox.chat_replies import Replies, reasoning_of, unscripted
from oxen_sandbox.chat_tokens import PER_CALL, count, prompt_tokens, tokens, usage
from oxen_sandbox.hub import Hub
from oxen_sandbox.models import outputs
from oxen_sandbox.pricing import chat_cost
from oxen_sandbox.state import Account
from oxen_sandbox.streams import EventStream, encoded, odd
from oxen_sandbox.wire import Rejected, invalid_params, json_body

Body = dict[str, Any]
Completion = dict[str, Any]

_FRAGMENT = 12


class ChatApi:
    """Handlers in front of the chat models."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def create(self, request: Request) -> Response:
        """POST /chat/completions"""
        body = json_body(request.scope)
        model = self._model(body)
        account: Account = request.scope["oxen.account"]
        if account.credits <= 0:
            raise Rejected(402, "Insufficient credits", "insufficient_credits", shape="oxen")
        completion = complete(body, model, self._hub.replies)
        if self._hub.face.states_cost:
            completion["usage"] = _with_cost(completion["usage"], model)
        if not body.get("stream"):
            self._charge(account, model, completion)
            return JSONResponse(completion)
        faults = self._hub.faults.draw_all("stream", "POST", request.url.path)
        styles = tuple(style for fault in faults for style in fault.styles)
        sent = odd(self._charged(completion, body, account, model), styles)
        wire = encoded(sent, done="no_done" not in styles)
        return EventStream(wire, faults)  # type: ignore[return-value]  # any ASGI app will do

    def _model(self, body: dict[str, Any]) -> dict[str, Any]:
        if not body.get("model"):
            raise Rejected(400, "You must specify a model to call")
        model = self._hub.models.find(body["model"])
        if "text" not in (outputs(model) or ["text"]):
            raise invalid_params(f"{model['id']} does not answer in text.")
        if not body.get("messages"):
            raise Rejected(400, "Messages array cannot be empty")
        status = self._hub.models.status(str(body["model"]), self._hub.clock.now())
        if status not in {None, "active"}:
            raise invalid_params(f"{body['model']} is {status}: activate it first.")
        return model

    def _charged(
        self, completion: Completion, body: Body, account: Account, model: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """The chunks of a completion, which is paid for once they are all sent."""
        yield from chunks(completion, body)
        self._charge(account, model, completion)

    def _charge(self, account: Account, model: dict[str, Any], completion: Completion) -> None:
        # What the usage states is what is taken, also where a test has scripted it.
        stated = completion["usage"].get("cost")
        cost = chat_cost(model, completion["usage"]) if stated is None else Decimal(str(stated))
        self._hub.state.charge(account, "chat", str(model["id"]), cost)


def _with_cost(usage: dict[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """The usage with what the answer cost, as far as that is known and a test says nothing else."""
    cost = chat_cost(model, usage)
    return usage if cost is None else {"cost": float(cost), "currency": "USD", **usage}


def complete(body: Body, model: Mapping[str, Any], replies: Replies | None = None) -> Completion:
    """Answer a request with a chat.completion, scripted or not; raises `Rejected` where the
    upstream would."""
    family = family_of(model)
    check(body, model, family)
    prompt = prompt_tokens(body)
    check_length(sum(prompt), family)
    reply = (replies and replies.take(body)) or unscripted(body, family)
    reasoning = reasoning_of(body, family) if reply.reasoning is None else reply.reasoning
    text = _before_stop(reply.text, body.get("stop"))
    reasoning_tokens, text_tokens = tokens(reasoning), tokens(text)
    # Anthropic-like upstreams count their text as block 0.
    calls = _tool_calls(reply.tool_calls, family.call_prefix, start=1 if text else 0)
    size = len(reasoning_tokens) + len(text_tokens) + sum(map(_call_tokens, calls))
    finish = "tool_calls" if calls else "stop"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and size > limit:
        finish, size = "length", limit
        reasoning_tokens = reasoning_tokens[:limit]
        text_tokens = text_tokens[: limit - len(reasoning_tokens)]
        calls = _within(calls, limit - len(reasoning_tokens) - len(text_tokens))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text_tokens) or (None if calls or reply.refusal else ""),
    }
    if reply.refusal is not None:
        message["refusal"] = reply.refusal
    # A family that hides its reasoning still sends what a test has scripted.
    shown_as = family.reasoning_field or (reply.reasoning and "reasoning_content")
    if reasoning_tokens and shown_as:
        message[shown_as] = "".join(reasoning_tokens)
    if calls:
        message["tool_calls"] = calls
    counted = usage(body, family, prompt, size, len(reasoning_tokens))
    return {
        "id": f"chatcmpl-{uuid.uuid4()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": reply.finish_reason or finish}
        ],
        "usage": {**counted, **reply.usage},
    }


def chunks(completion: Completion, body: Body) -> Iterator[dict[str, Any]]:
    """Yield the chat.completion.chunk dictionaries of a completion, without [DONE]."""
    choice = completion["choices"][0]
    message = choice["message"]
    head = {
        "id": completion["id"],
        "object": "chat.completion.chunk",
        "created": completion["created"],
        "model": completion["model"],
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    reasoning = next((key for key in ("reasoning_content", "reasoning") if key in message), None)
    yield chunk({"role": "assistant", "content": None if reasoning else ""})
    if reasoning:
        for piece in tokens(message[reasoning]):
            yield chunk({"content": None, reasoning: piece})
    for piece in tokens(message["content"] or ""):
        yield chunk({"content": piece})
    for piece in tokens(message.get("refusal") or ""):
        yield chunk({"refusal": piece})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        named = {"name": function["name"], "arguments": ""}
        yield chunk({"tool_calls": [{**call, "function": named}]})
        arguments = function["arguments"]
        for start in range(0, len(arguments), _FRAGMENT):
            part = {"arguments": arguments[start : start + _FRAGMENT]}
            yield chunk({"tool_calls": [{"index": call["index"], "function": part}]})
    yield chunk({}, choice["finish_reason"])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": completion["usage"]}


def _tool_calls(
    calls: Sequence[tuple[str, Mapping[str, Any] | str]], prefix: str, start: int
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{prefix}{uuid.uuid4().hex[:24]}",
            "type": "function",
            "index": index,
            "function": {
                "name": name,
                "arguments": arguments
                if isinstance(arguments, str)
                else json.dumps(arguments, ensure_ascii=False),
            },
        }
        for index, (name, arguments) in enumerate(calls, start)
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
