"""`/images/*`, `/videos/generate`, `/audio/generate`, and the files every generation leaves."""

import base64
import uuid
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.chat_tokens import count
from oxen_sandbox.hub import Hub
from oxen_sandbox.media_checks import media_model
from oxen_sandbox.media_files import render
from oxen_sandbox.models import JSON
from oxen_sandbox.pricing import chat_cost
from oxen_sandbox.state import Account
from oxen_sandbox.wire import Rejected, invalid_params, json_body


class SynchronousApi:
    """Handlers that answer when the generation is done."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def generate_image(self, request: Request) -> Response:
        """POST /images/generate"""
        return await self._generate(request, "image")

    async def edit_image(self, request: Request) -> Response:
        """POST /images/edit"""
        return await self._generate(request, "image")

    async def generate_video(self, request: Request) -> Response:
        """POST /videos/generate"""
        return await self._generate(request, "video")

    async def generate_audio(self, request: Request) -> Response:
        """POST /audio/generate"""
        return await self._generate(request, "audio")

    async def speak(self, request: Request) -> Response:
        """POST /audio/speech: what to say is `input`"""
        return await self._generate(request, "audio", words="input")

    async def transcribe(self, request: Request) -> Response:
        """POST /audio/transcriptions: the words of the file at `audio_url`"""
        body = json_body(request.scope)
        model = self._hub.models.find(body.get("model"))
        url = body.get("audio_url")
        if "audio" not in ((model.get("capabilities") or {}).get("input") or []):
            raise invalid_params(f"{model['id']} does not take audio.")
        if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:")):
            raise invalid_params("audio_url must be a URL or a data URL")
        reply = self._hub.replies.take(body)
        text = reply.text if reply else f"What is said at {url[:200]}"
        account: Account = request.scope["oxen.account"]
        counted = {"prompt_tokens": 100, "completion_tokens": count(text)}
        self._hub.state.charge(account, "chat", str(model["id"]), chat_cost(model, counted))
        return JSONResponse({"text": text})

    async def file(self, request: Request) -> Response:
        """GET a result that lives on the hub, with a key"""
        return await self._file(request)

    async def stored_file(self, request: Request) -> Response:
        """GET a result by presigned URL; like object stores, refuses a second kind of proof"""
        if "authorization" in request.headers:
            raise Rejected(400, "Only one auth mechanism allowed", "InvalidArgument")
        return await self._file(request)

    async def _file(self, request: Request) -> Response:
        shape, text = self._hub.files.open(request.path_params["name"], request.query_params)
        content = await to_thread.run_sync(render, shape, text)
        return Response(content, media_type=shape.mime)

    async def _generate(self, request: Request, kind: str, words: str | None = None) -> Response:
        body = json_body(request.scope)
        if words is not None:
            body = {**body, "prompt": body.get(words)}
        account: Account = request.scope["oxen.account"]
        model, _, wanted = media_model(self._hub.models, account, body, {kind}, ("n",))
        if body.get("response_format") not in {None, "url", "b64_json"}:
            raise invalid_params("response_format must be url or b64_json")
        params = _with_source_image(model, body)
        state, schema = self._hub.state, model.get("request_schema")
        wrong = self._hub.wrong_with(schema, params)
        if wrong is not None and self._hub.face.wraps_errors:
            raise Rejected(500, wrong, shape="oxen")
        if wrong is not None:
            file_trouble = wrong.endswith(("data URL", "downloaded"))
            raise Rejected(
                400, wrong, "invalid_file_input" if file_trouble else "invalid_params", shape="oxen"
            )
        await self._hub.clock.sleep_until(
            self._hub.clock.now() + self._hub.settings.seconds_for(kind)
        )
        shape, cost = state.quote(model, kind, params)
        results: list[dict[str, Any]] = []
        for _ in range(wanted):
            file_id, text = str(uuid.uuid4()), str(body.get("prompt") or model["id"])
            self._hub.files.keep(file_id, shape, text)
            state.charge(account, "direct", str(model["id"]), cost, file_id)
            if body.get("response_format") == "b64_json":
                content = await to_thread.run_sync(render, shape, text)
                results.append({"b64_json": base64.b64encode(content).decode()})
            else:
                results.append({"url": self._hub.files.url(file_id, account.namespace)})
        created = int(self._hub.clock.now())
        return JSONResponse({"model": model["id"], "created": created, f"{kind}s": results})


def _with_source_image(model: JSON, body: JSON) -> JSON:
    """The body with the published edit parameter `image` under the name the model gives it."""
    fields = (model.get("request_schema") or {}).get("properties") or {}
    image = body.get("image")
    if image is None or "input_image" not in fields or body.get("input_image") is not None:
        return body
    listed = fields["input_image"].get("type") == "array" and not isinstance(image, list)
    return {**body, "input_image": [image] if listed else image}
