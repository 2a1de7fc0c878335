"""What a paid request does when its answer is lost: the OpenAI SDK alone, and `client.media`."""

from __future__ import annotations

from typing import Any

import openai

from oxen_inference import OxenClient
from oxen_sandbox import Fault, Sandbox

MODEL, PROMPT = "flux-2-dev", "an ox at dawn"
TITLE = "A paid image"


def _sdk(hub: Sandbox) -> Any:
    client = openai.OpenAI(api_key=hub.api_key, base_url=hub.base_url)
    body = {"model": MODEL, "prompt": PROMPT}
    return lambda: client.post("/queue", cast_to=object, body=body)


def _media(hub: Sandbox) -> Any:
    client = OxenClient(api_key=hub.api_key, base_url=hub.base_url, ledger=None)
    return lambda: client.media.generate(model=MODEL, prompt=PROMPT)


CONTESTANTS = {"`openai.OpenAI().post`": _sdk, "`OxenClient().media`": _media}


def _bought(hub: Sandbox, make: Any, fault: Fault) -> str:
    hub.inject(fault)
    make()()
    return f"{len(hub.jobs)} bought"


def reset(hub: Sandbox, make: Any) -> str:
    return _bought(hub, make, Fault("reset", when="after", path="*/queue"))


def bad_gateway(hub: Sandbox, make: Any) -> str:
    return _bought(hub, make, Fault("respond", when="after", status=502, path="*/queue"))


QUESTIONS = {
    "Accepted, then the connection is reset": reset,
    "Accepted, then a gateway answers 502": bad_gateway,
}
