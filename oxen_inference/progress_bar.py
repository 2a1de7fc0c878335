"""The display of a run under way: how much is done, what it cost, and how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxen_inference.money import usd

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.result import BulkProgress

_FIRST_LINE = 3.0  # seconds
_LINE_EVERY = 30.0


class ProgressBar:
    """Shows progress on stderr: a bar in a terminal or a notebook, else a line now and then.

    What ``on_progress="bar"`` stands for. `close` ends it; it begins with the first event.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._bars: Any = None
        self._next_line = _FIRST_LINE
        self._last: BulkProgress | None = None
        self._shown = ""

    def __call__(self, event: BulkProgress) -> None:
        console = self._console = self._console or _stderr()
        self._last = event
        if console.is_interactive or console.is_jupyter:
            self._update_bar(console, event)
        elif event.elapsed >= self._next_line:
            self._next_line = event.elapsed + _LINE_EVERY
            self._print(console, _line(event))

    def close(self) -> None:
        """Leave the bar as it is, and end the lines with how it ended."""
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()
        if self._shown and self._console is not None and self._last is not None:
            line = _line(self._last)
            if line != self._shown:
                self._print(self._console, line)

    def _print(self, console: Console, line: str) -> None:
        self._shown = line
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _update_bar(self, console: Console, event: BulkProgress) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bars is None:
            columns = (
                BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[money]}"),
                TextColumn("[red]{task.fields[failed]}"), TextColumn("[dim]{task.fields[left]}"),
            )  # fmt: skip
            self._bars = Progress(*columns, console=console)
            self._bars.add_task("", total=event.total, money="", failed="", left="")
            self._bars.start()
        failed = f"{event.failed:,} failed" if event.failed else ""
        self._bars.update(
            self._bars.task_ids[0],
            completed=event.done,
            money=_money(event),
            failed=failed,
            left=_left(event),
        )


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _line(event: BulkProgress) -> str:
    total = "" if event.total is None else f" of {event.total:,}"
    failed = f", {event.failed:,} failed" if event.failed else ""
    left = f", {text}" if (text := _left(event)) else ""
    return f"{event.done:,}{total} done{failed}, {_money(event)}{left}"


def _money(event: BulkProgress) -> str:
    reserved = f", {usd(event.reserved)} reserved" if event.reserved else ""
    is_earlier = event.spent and event.succeeded and not (event.bought or event.failed)
    return f"{usd(event.spent)} {'paid before' if is_earlier else 'spent'}{reserved}"


def _left(event: BulkProgress) -> str:
    if event.paused > 1:
        return f"paused for {event.paused:.0f} s, as Oxen asks"
    if event.seconds_left is None or event.done == event.total:
        return ""
    minutes, seconds = divmod(int(event.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
