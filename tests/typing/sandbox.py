"""`oxen_sandbox` as type checkers see it; never run, checked by `make types` with two of them."""

from decimal import Decimal

from typing_extensions import assert_type

from oxen_sandbox import Fault, Sandbox
from oxen_sandbox.chat_replies import Reply


def a_hub() -> None:
    with Sandbox(speed=0, image_seconds=3) as hub:
        assert_type(hub, Sandbox)
        assert_type(hub.base_url, str)
        assert_type(hub.credits, Decimal)
        hub.credits = Decimal(3)
        hub.reply("text", when=lambda request: request["stream"])
        hub.reply(tool_calls=[("weigh", {"name": "Bruno"})], when={"stream": True}, times=None)
        assert_type(hub.replies, list[Reply])
        hub.inject(Fault("respond", status=429, retry_after=1), Fault("reset", when="after"))


async def async_too() -> None:
    async with Sandbox() as hub:
        assert_type(hub.api_key, str)
