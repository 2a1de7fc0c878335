"""`POST /chat/completions`: what the hub checks, the model's answer, and its price."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.chat_model import complete, stream
from oxen_sandbox.errors import Rejected, invalid_params
from oxen_sandbox.models import outputs
from oxen_sandbox.pricing import chat_cost
from oxen_sandbox.request_json import json_body
from oxen_sandbox.state import Account
from oxen_sandbox.streams import EventStream, encoded, odd

if TYPE_CHECKING:
    from oxen_sandbox.hub import Hub


class CompletionsApi:
    """Handlers in front of the chat model."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    async def create(self, request: Request) -> Response:
        """POST /chat/completions"""
        body = json_body(request.scope)
        model = self._model(body)
        account: Account = request.scope["oxen.account"]
        if account.credits <= 0:
            raise Rejected(402, "Insufficient credits", "insufficient_credits", shape="oxen")
        if not body.get("stream"):
            answer = complete(body, model)
            self._charge(account, model, answer.get("usage"))
            return JSONResponse(answer)
        options = body.get("stream_options")
        asked = bool(isinstance(options, dict) and options.get("include_usage"))
        counted = {**body, "stream_options": {"include_usage": True}}
        chunks = self._charged(iter(stream(counted, model)), account, model, asked)
        first = list(itertools.islice(chunks, 1))  # a refusal is a status, not a stream
        faults = self._hub.faults.draw_all("stream", "POST", request.url.path)
        styles = tuple(style for fault in faults for style in fault.styles)
        shaped = odd(itertools.chain(first, chunks), styles)
        sent = encoded(shaped, done="no_done" not in styles)
        return EventStream(sent, faults)  # type: ignore[return-value]  # any ASGI app will do

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
        self, chunks: Iterator[dict[str, Any]], account: Account, model: dict[str, Any], asked: bool
    ) -> Iterator[dict[str, Any]]:
        for chunk in chunks:
            if chunk.get("usage"):
                self._charge(account, model, chunk["usage"])
                if not asked and not chunk.get("choices"):
                    continue
            yield chunk

    def _charge(self, account: Account, model: dict[str, Any], usage: Any) -> None:
        cost = chat_cost(model, usage or {})
        self._hub.state.charge(account, "chat", str(model["id"]), cost)
