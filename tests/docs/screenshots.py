"""Make the images of the documentation again: `python -m tests.docs.screenshots` (`make screenshots`).

The report in a real browser, and two commands in a terminal, each caught while it works on the sandbox.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from oxen_inference import Ledger, OxenClient, OxenError
from oxen_sandbox import Fault, Sandbox
from tests.conftest import REPOSITORY
from tests.docs.browser import BROWSER

ASSETS = REPOSITORY / "docs" / "assets"
PROMPTS = (
    "An ox at dawn in a meadow full of dew", "Two oxen and a plow, seen from above",
    "Morning fog over the fields", "An ox in the rain", "A calf that sleeps under an oak",
    "A herd at the river", "A bell on a red ribbon", "<script>alert('x')</script> & \"quotes\"",
)  # fmt: skip
WIDTH, HEIGHT = 92, 24

# rich's template without its web fonts: the documentation loads nothing from elsewhere.
TERMINAL = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def terminal(command: list[str], until: str, folder: Path, hub: Sandbox, title: str) -> str:
    """Run a command in a terminal until its screen matches a pattern; return that screen as SVG."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {
        "TERM": "xterm-256color", "OXEN_API_KEY": hub.api_key, "OXEN_BASE_URL": hub.base_url,
        "OXEN_STATE_DIR": str(folder / "state"),
    }  # fmt: skip
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdin=slave, stdout=slave, stderr=slave
    ) as running:
        os.close(slave)
        while not re.search(until, "\n".join(screen.display)):
            if not select.select([master], [], [], 60)[0]:
                raise TimeoutError(f"{until!r} did not come: {screen.display}")
            stream.feed(os.read(master, 4096))
        text = _styled(screen)
        running.kill()
    os.close(master)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(text)
    return console.export_svg(
        title=title, theme=DIMMED_MONOKAI, code_format=TERMINAL, unique_id="terminal"
    )


def _styled(screen: pyte.Screen) -> Text:
    lines = [_line(screen, row) for row in range(HEIGHT)]
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def _line(screen: pyte.Screen, row: int) -> Text:
    line = Text()
    for column in range(WIDTH):
        cell = screen.buffer[row][column]
        line.append(cell.data, Style(color=_color(cell.fg), bold=cell.bold))
    line.rstrip()
    return line


def _color(name: str) -> str | None:
    """Return rich's name for a color of pyte's: a name, or six hexadecimal digits."""
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    bright = "bright_" if name.startswith("bright") else ""
    return bright + name.removeprefix("bright").replace("brown", "yellow")


def bulk(folder: Path, hub: Sandbox) -> None:
    """400 images from a manifest, a little more than half done."""
    lines = [json.dumps({"prompt": f"ox number {number}"}) for number in range(400)]
    (folder / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = "generate flux-2-dev --from prompts.jsonl --save-to images --budget 10 --yes"
    typed = f"echo '$ oxen-inference {command}'; exec {sys.executable} -m oxen_inference {command}"
    svg = terminal(["sh", "-c", typed], r"2[3-9]\d/400", folder, hub, "400 images")
    (ASSETS / "bulk.svg").write_text(svg, encoding="utf-8")


def agent(folder: Path, hub: Sandbox) -> None:
    """The demo's agent, which has made an image and makes a video of it."""
    typed = (
        f"echo '$ make demo'; exec {sys.executable} {REPOSITORY / 'examples' / 'media_agent.py'}"
    )
    svg = terminal(["sh", "-c", typed], r"(?s)done.*video: running", folder, hub, "an agent")
    (ASSETS / "agent.svg").write_text(svg, encoding="utf-8")


def report(folder: Path, hub: Sandbox) -> None:
    """The report of eight images, one of them refused, on a desktop and a phone, light and dark."""
    from playwright.sync_api import sync_playwright

    hub.inject(Fault("fail_job", skip=4, message="Flagged by content moderation."))
    with OxenClient(
        api_key=hub.api_key, base_url=hub.base_url, ledger=Ledger(folder / "ledger.sqlite3")
    ) as client:
        for prompt in PROMPTS:
            with suppress(OxenError):
                client.media.generate(model="flux-2-dev", prompt=prompt, save_to=folder)
        page_file = client.media.report(folder / "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**BROWSER)
        for scheme in ("light", "dark"):
            for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                page.goto(page_file.as_uri(), wait_until="networkidle")
                page.screenshot(path=ASSETS / f"report-{scheme}-{name}.png")
        browser.close()


def main() -> None:
    """Make them all, each on a sandbox of its own."""
    for make in (bulk, agent, report):
        with Sandbox(image_seconds=0.6) as hub, tempfile.TemporaryDirectory() as folder:
            make(Path(folder), hub)


if __name__ == "__main__":
    main()
