"""Print to a terminal what comes from a hub: tables, lines and JSON, without control characters.

A name or a prompt may hold escape sequences that would move the cursor, set the window's title or
hide text. They are shown as text.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_PIPE_WIDTH = 200  # a pipe has no width to fit into, and ids must come through whole
# Control characters but for tab and line feed, and the marks that reorder text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class SafeConsole(Console):
    """A console that shows the control characters in what it prints as text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(show_control(segment.text), segment.style)


def stdout() -> SafeConsole:
    """Return a console for results, as wide as the terminal or COLUMNS says."""
    has_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return SafeConsole(width=None if has_width else _PIPE_WIDTH)


def stderr() -> SafeConsole:
    """Return a console for errors and warnings."""
    return SafeConsole(stderr=True, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on stderr what is waited for: in a terminal as long as it lasts, else in one line."""
    errors = stderr()
    if not errors.is_interactive:
        print_line(errors, text)
        yield
        return
    with errors.status(Text(text)):  # a model's id is no markup
        yield


def print_line(console: Console, text: object) -> None:
    """Print one line as it is: without markup, colors or wrapping."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)


def print_json(data: object) -> None:
    """Print JSON for programs."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    # Outside ASCII the encoder leaves control characters as they are.
    print(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, as in ``1 image`` and ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def show_control(text: str) -> str:
    """Return `text` with its control characters written out, as in ``\\x1b``."""
    return _CONTROL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code: Any = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
