"""An agent that makes an image and a video of it: on a local sandbox, or with --hub on Oxen.

python examples/media_agent.py          no key, no bill
python examples/media_agent.py --hub    needs OXEN_API_KEY; shows the price and asks first
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, ToolMessage
from rich.console import Console
from rich.table import Table

from langchain_oxen import ChatOxen, MediaProgressBars, OxenBudgetMiddleware, OxenMediaTool
from oxen_inference import Ledger, OxenClient, OxenError
from oxen_inference.money import usd
from oxen_inference.settings import resolve_api_key

CHAT_MODEL = "claude-sonnet-4-6"
IMAGE_MODEL = "flux-2-dev"
VIDEO_MODEL = "kling-video-o3-pro-reference-to-video"
TASK = 'Make an image of "an ox at dawn". Then make a video of "the ox walking home", duration 5.'
SYSTEM = (
    "You make images and videos. Where a video starts from an image you made, give the image's "
    "URL to the video tool as an input image. Make each thing once, and end by saying where the "
    "files are."
)
OUTPUT = Path("demo-output")
LIMIT = "2.00"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--hub", action="store_true", help="use Oxen's hub, for real money")
    on_hub = arguments.parse_args().hub
    console = Console()
    try:
        with hub_client() if on_hub else sandbox_client(console) as client:
            run(client, console, ask_first=on_hub)
    except (OxenError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. What was paid for goes on and is in the ledger.")
        return 130
    return 0


@contextmanager
def sandbox_client(console: Console) -> Iterator[OxenClient]:
    """A client of a local Oxen that ends with the demo, its ledger too."""
    from oxen_sandbox import Sandbox

    with (
        Sandbox(image_seconds=0.8, video_seconds=1.5) as hub,
        tempfile.TemporaryDirectory() as ledger,
        OxenClient(
            api_key=hub.api_key,
            base_url=hub.base_url,
            ledger=Ledger(Path(ledger) / "ledger.sqlite3"),
        ) as client,
    ):
        console.print("On the local sandbox: no key, no bill, made-up prices and images.")
        yield client


@contextmanager
def hub_client() -> Iterator[OxenClient]:
    with OxenClient() as client:
        resolve_api_key(base_url=str(client.base_url))  # without one it could only read
        yield client


def run(client: OxenClient, console: Console, *, ask_first: bool) -> None:
    image = OxenMediaTool.for_model(
        IMAGE_MODEL, client=client, name="image", save_to=OUTPUT, output_format="png"
    )
    video = OxenMediaTool.for_model(VIDEO_MODEL, client=client, name="video", save_to=OUTPUT)
    if ask_first and not agreed(console, image, video, str(client.base_url)):
        console.print("Nothing was sent.")
        return
    chat = ChatOxen(
        model=CHAT_MODEL,
        parallel_tool_calls=False,  # the video needs the image's URL
        api_key=client.api_key,
        base_url=str(client.base_url),
    )
    agent = create_agent(
        chat,
        tools=[image, video],
        system_prompt=SYSTEM,
        middleware=[OxenBudgetMiddleware(LIMIT, ledger=client.media.ledger)],
    )
    console.print(f"> {TASK}\n", style="bold")
    bars = MediaProgressBars(console)
    made: list[dict[str, Any]] = []
    for message, _ in agent.stream(
        {"messages": [("user", TASK)]}, {"callbacks": [bars]}, stream_mode="messages"
    ):
        if isinstance(message, AIMessageChunk):
            console.print(message.text, end="", markup=False, highlight=False, soft_wrap=True)
            if message.tool_call_chunks and message.tool_call_chunks[0].get("name"):
                console.print()
        elif isinstance(message, ToolMessage):
            if message.status == "error":
                console.print(message.text, style="yellow", markup=False)
            made += [item for item in (message.artifact or {}).get("items", []) if item["path"]]
    console.print("\n")
    show(console, made)


def agreed(console: Console, image: OxenMediaTool, video: OxenMediaTool, hub: str) -> bool:
    """Show what it will cost and ask."""
    for tool, arguments in ((image, {"prompt": TASK}), (video, {"prompt": TASK, "duration": 5})):
        console.print(f"{tool.model.id}: {tool.quote(arguments)}")
    console.print(f"The agent may spend ${LIMIT} at most, chat included.")
    try:
        answer = console.input(f"Go ahead and pay at {hub}? [y/N] ", markup=False)
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def show(console: Console, made: list[dict[str, Any]]) -> None:
    if not made:
        raise OxenError("The agent made nothing; what it said above tells why.")
    table = Table()
    for column in ("file", "size", "seconds", "cost", "generation id"):
        table.add_column(column, overflow="fold")
    for item in made:
        table.add_row(
            str(Path(item["path"]).relative_to(Path.cwd())),
            f"{item['size']:,} B",
            f"{item['duration']:.1f}" if item["duration"] else "",
            "unknown" if item["cost"] is None else usd(Decimal(item["cost"])),
            item["generation_id"],
        )
    console.print(table)
    known = sum((Decimal(item["cost"]) for item in made if item["cost"]), Decimal(0))
    console.print(f"Images and videos: {usd(known)}.")


if __name__ == "__main__":
    sys.exit(main())
