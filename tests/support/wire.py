"""Plain HTTP to a hub, so that the sandbox is proven without the clients it serves."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from oxen_sandbox import Sandbox


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def chunks(self) -> list[Any]:
        """The data of each server-sent event; `[DONE]` as it is."""
        lines = self.content.decode().splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [part if part == "[DONE]" else json.loads(part) for part in data]


def fetch(
    url: str, method: str = "GET", body: Any = None, key: str | None = None, timeout: float = 20
) -> Answer:
    """One request, whatever status it gets; raises OSError when the connection breaks."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return Answer(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def call(
    hub: Sandbox, method: str, path: str, body: Any = None, *, key: str | None = None, **query: Any
) -> Answer:
    """One request below the hub's origin, e.g. `/api/ai/queue`, with its key."""
    url = f"{hub.origin}{path}" + (f"?{urlencode(query)}" if query else "")
    return fetch(url, method, body, hub.api_key if key is None else key)


def ai(hub: Sandbox, method: str, path: str, body: Any = None, **query: Any) -> Answer:
    """One request below the inference base URL, e.g. `/queue`."""
    return call(hub, method, f"/api/ai{path}", body, **query)


def enqueue(
    hub: Sandbox, model: str = "flux-2-dev", prompt: str = "an ox", **params: Any
) -> list[str]:
    """Enqueue and return the generation ids."""
    answer = ai(hub, "POST", "/queue", {"model": model, "prompt": prompt, **params})
    assert answer.status == 200, answer.content
    return [generation["generation_id"] for generation in answer.json["generations"]]
