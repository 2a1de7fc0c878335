"""What a paid request does when its answer is lost: the OpenAI SDK, fal-client, and `client.media`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import fal_client
import openai

from oxen_inference import OxenClient
from oxen_sandbox import Fault, Sandbox

MODEL, PROMPT = "flux-2-dev", "an ox at dawn"
TITLE = "A paid image"


def _sdk(hub: Sandbox) -> Any:
    client = openai.OpenAI(api_key=hub.api_key, base_url=hub.base_url)
    body = {"model": MODEL, "prompt": PROMPT}
    return lambda: client.post("/queue", cast_to=object, body=body)


def _fal(hub: Sandbox) -> Any:
    """Another provider's client, pointed at the sandbox's queue: only its first request is of interest."""
    fal_client.client.QUEUE_URL_FORMAT = f"{hub.base_url}/"
    client = fal_client.SyncClient(key=hub.api_key)
    headers = {"Authorization": f"Bearer {hub.api_key}"}

    def submit() -> None:
        with suppress(KeyError):  # the answer has Oxen's shape, not fal's
            client.submit("queue", {"model": MODEL, "prompt": PROMPT}, headers=headers)

    return submit


def _media(hub: Sandbox) -> Any:
    client = OxenClient(api_key=hub.api_key, base_url=hub.base_url, ledger=None)
    return lambda: client.media.generate(model=MODEL, prompt=PROMPT)


CONTESTANTS = {
    "`openai.OpenAI().post`": _sdk,
    "`fal_client.submit`": _fal,
    "`OxenClient().media`": _media,
}


def _bought(hub: Sandbox, make: Any, fault: Fault) -> str:
    hub.inject(fault)
    submit, error = make(), ""
    try:
        submit()
    except Exception as raised:  # noqa: BLE001 - what was bought is asked, whatever it says
        error = f", then `{type(raised).__name__}`"
    return f"{len(hub.jobs)} bought{error}"


def reset(hub: Sandbox, make: Any) -> str:
    return _bought(hub, make, Fault("reset", when="after", path="*/queue"))


def bad_gateway(hub: Sandbox, make: Any) -> str:
    return _bought(hub, make, Fault("respond", when="after", status=502, path="*/queue"))


QUESTIONS = {
    "Accepted, then the connection is reset": reset,
    "Accepted, then a gateway answers 502": bad_gateway,
}
