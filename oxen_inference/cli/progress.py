"""The display of a run under way: how much is done, what it cost, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oxen_inference.cli.output import stderr

if TYPE_CHECKING:
    from oxen_inference.result import BulkProgress

_LINE_EVERY = 15.0  # seconds


@contextmanager
def display(total: int, *, is_quiet: bool = False) -> Iterator[Callable[[BulkProgress], None]]:
    """Give what shows the progress on stderr: a bar in a terminal, else a line now and then."""
    console = stderr()
    if is_quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[money]}"),
        TextColumn("[red]{task.fields[failed]}"), TextColumn("[dim]{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("", total=total, money="", failed="", left="")

        def update(event: BulkProgress) -> None:
            failed = f"{event.failed:,} failed" if event.failed else ""
            bars.update(
                task, completed=event.done, money=_money(event), failed=failed, left=_left(event)
            )

        yield update


class _Lines:
    """One line every few seconds, for logs."""

    def __init__(self) -> None:
        self._next = _LINE_EVERY

    def __call__(self, event: BulkProgress) -> None:
        if event.elapsed < self._next:
            return
        self._next = event.elapsed + _LINE_EVERY
        total = "" if event.total is None else f" of {event.total:,}"
        failed = f", {event.failed:,} failed" if event.failed else ""
        left = f", {text}" if (text := _left(event)) else ""
        stderr().print(f"{event.done:,}{total} done{failed}, {_money(event)}{left}")


def _money(event: BulkProgress) -> str:
    from oxen_inference.money import usd

    reserved = f", {usd(event.reserved)} reserved" if event.reserved else ""
    return f"{usd(event.spent)} spent{reserved}"


def _left(event: BulkProgress) -> str:
    if event.paused > 1:
        return f"paused for {event.paused:.0f} s, as Oxen asks"
    if event.seconds_left is None:
        return ""
    minutes, seconds = divmod(int(event.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
