"""`/_sandbox/*`: faults, scripted replies and what the hub has seen, over HTTP, without a key."""

import json
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.chat_replies import Reply
from oxen_sandbox.faults import Fault
from oxen_sandbox.hub import Hub
from oxen_sandbox.state import Settings
from oxen_sandbox.wire import Rejected


class ControlApi:
    """Handlers over the hub itself."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def faults(self, _: Request) -> Response:
        """GET /_sandbox/faults"""
        return JSONResponse({"faults": self._hub.faults.report()})

    async def inject(self, request: Request) -> Response:
        """POST /_sandbox/faults: one fault or a list of them"""
        data = _body(request)
        try:
            faults = [
                Fault.from_json(item) for item in (data if isinstance(data, list) else [data])
            ]
        except (TypeError, ValueError) as error:
            raise Rejected(400, str(error)) from None
        self._hub.faults.inject(*faults)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """DELETE /_sandbox/faults"""
        self._hub.faults.clear()
        return await self.faults(request)

    async def replies(self, _: Request) -> Response:
        """GET /_sandbox/replies: the scripted ones that no request has fetched yet"""
        left = [reply.to_json() for reply in self._hub.replies.left()]
        return JSONResponse({"replies": left})

    async def reply(self, request: Request) -> Response:
        """POST /_sandbox/replies: one scripted reply or a list of them"""
        data = _body(request)
        try:
            replies = [
                Reply.from_json(item) for item in (data if isinstance(data, list) else [data])
            ]
        except ValueError as error:
            raise Rejected(400, str(error)) from None
        self._hub.replies.add(replies)
        return await self.replies(request)

    async def clear_replies(self, request: Request) -> Response:
        """DELETE /_sandbox/replies"""
        self._hub.replies.clear()
        return await self.replies(request)

    async def state(self, _: Request) -> Response:
        """GET /_sandbox/state"""
        hub = self._hub
        hub.state.advance()
        return JSONResponse({
            "now": hub.clock.now(),
            "credits": str(hub.account.credits),
            "settings": {f.name: getattr(hub.settings, f.name) for f in fields(Settings)},
            "requests": len(hub.requests),
            "jobs": [
                {
                    "generation_id": job.generation_id,
                    "model": job.model,
                    "status": job.status,
                    "params": job.params,
                    "cost": None if job.cost is None else format(job.cost, "f"),
                    "error_message": job.error_message,
                }
                for job in hub.state.jobs.values()
            ],
            "charges": [
                {
                    "kind": charge.kind,
                    "model": charge.model,
                    "cost": None if charge.cost is None else format(charge.cost, "f"),
                    "generation_id": charge.generation_id,
                }
                for charge in hub.state.charges
            ],
        })  # fmt: skip

    async def change(self, request: Request) -> Response:
        """PUT /_sandbox/state: `credits` and any of the settings"""
        data = _object(request, {"credits", *(field.name for field in fields(Settings))})
        if "credits" in data:
            try:
                self._hub.account.credits = Decimal(str(data.pop("credits")))
            except InvalidOperation:
                raise Rejected(400, "credits: expected an amount") from None
        for name, value in data.items():
            setattr(self._hub.settings, name, value)
        return await self.state(request)

    async def advance(self, request: Request) -> Response:
        """POST /_sandbox/clock: `advance` by seconds, or a new `speed`"""
        data = _object(request, {"advance", "speed"})
        try:
            numbers = {name: float(value) for name, value in data.items()}
        except (TypeError, ValueError):
            raise Rejected(400, "expected numbers") from None
        if "speed" in numbers:
            self._hub.clock.speed = numbers["speed"]
        self._hub.clock.advance(numbers.get("advance", 0.0))
        return JSONResponse({"now": self._hub.clock.now(), "speed": self._hub.clock.speed})

    async def reset(self, request: Request) -> Response:
        """POST /_sandbox/reset"""
        self._hub.reset()
        return await self.state(request)


def _object(request: Request, known: set[str]) -> dict[str, Any]:
    data = _body(request)
    if not isinstance(data, dict) or set(data) - known:
        raise Rejected(400, f"expected an object of: {', '.join(sorted(known))}")
    return data


def _body(request: Request) -> Any:
    try:
        return json.loads(request.scope["oxen.body"] or b"{}")
    except ValueError:
        raise Rejected(400, "The request body is not JSON.") from None
