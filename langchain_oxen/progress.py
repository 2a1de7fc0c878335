"""The progress of a generation, sent to callbacks and to LangGraph's custom stream, or shown as bars.

Every step is a custom event named `EVENT` (`on_custom_event` handlers, `astream_events`), and a
dict of the same data with ``"type": EVENT`` in ``stream_mode="custom"`` and in the output deltas of
``run.tool_calls``. All are needed, since none reaches the others:
https://docs.langchain.com/oss/python/langgraph/streaming.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import (
    BaseCallbackHandler,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from oxen_inference.locks import Lock

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as ProgressBars
    from rich.progress import TaskID

EVENT = "oxen_media_progress"


class ProgressRelay:
    """Sends the progress of one tool call to the callbacks and the stream of its run."""

    def __init__(
        self, tool: str, tool_call_id: str | None, config: RunnableConfig, run_manager: Any
    ) -> None:
        self._labels = {"type": EVENT, "tool": tool, "tool_call_id": tool_call_id}
        self._writers = [
            write for write in (_stream_writer(config), _tool_call_writer()) if write is not None
        ]
        # From the manager: on Python 3.10 no task inherits the run it belongs to.
        self._config: RunnableConfig = {"callbacks": run_manager.get_child()}

    def send(self, progress: Any) -> None:
        """Send one `Progress`; the ``on_progress`` of a synchronous call."""
        dispatch_custom_event(EVENT, self._write_to_stream(progress), config=self._config)

    async def asend(self, progress: Any) -> None:
        await adispatch_custom_event(EVENT, self._write_to_stream(progress), config=self._config)

    def _write_to_stream(self, progress: Any) -> dict[str, Any]:
        fields = asdict(progress)
        data = {**self._labels, **fields, "generation_ids": list(fields["generation_ids"])}
        for write in self._writers:
            write(data)
        return data


def _stream_writer(config: RunnableConfig) -> Any:
    """Return LangGraph's stream writer, or None outside a graph."""
    # A run inside a graph has imported it; other runs should not have to.
    langgraph = sys.modules.get("langgraph.config")
    if langgraph is None:
        return None
    with set_config_context(config) as context:
        try:
            return context.run(langgraph.get_stream_writer)
        except (KeyError, RuntimeError):
            return None


def _tool_call_writer() -> Any:
    """Return what writes into ``run.tool_calls`` of a v3 stream, or None where nobody reads it.

    LangGraph gives it to tools by ``ToolRuntime.emit_output_delta``, which the arguments of these
    tools have no place for.
    """
    tools = sys.modules.get("langgraph.pregel._tools")
    current = getattr(tools, "_tool_call_writer", None)  # since LangGraph 1.2
    return None if current is None else current.get()


class MediaProgressBars(BaseCallbackHandler):
    """Shows a live bar for each generation: ``config={"callbacks": [MediaProgressBars()]}``.

    If the console is not a terminal, it prints a line for each step instead. When a generation
    ends, its bar is replaced by a line with the outcome.
    """

    run_inline = True  # so that a bar never lags behind

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console or Console()
        self._bars: ProgressBars | None = None
        self._tasks: dict[UUID, TaskID] = {}
        self._last: dict[UUID, dict[str, Any]] = {}
        self._lock = Lock(after_fork=self._leave_bars)

    def _leave_bars(self) -> None:
        """Leave to the parent process, which has the thread that draws them."""
        self._bars = None
        self._tasks, self._last = {}, {}

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        if name != EVENT:
            return
        with self._lock:
            previous = self._last.get(run_id, {})
            self._last[run_id] = data
            if not self.console.is_terminal:
                if (previous.get("phase"), previous.get("status")) != (
                    data["phase"],
                    data["status"],
                ):
                    self.console.print(_line(data), highlight=False, markup=False)
                return
            self._show(run_id, data)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        self._finish(run_id, "failed" if getattr(output, "status", None) == "error" else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._finish(run_id, type(error).__name__)

    def _show(self, run_id: UUID, data: dict[str, Any]) -> None:
        if self._bars is None:
            self._bars = _bars(self.console)
            self._bars.start()
        if run_id not in self._tasks:
            self._tasks[run_id] = self._bars.add_task(_label(data), total=None)
        # The duration is not known: the bar pulses, and fills as results arrive.
        total = data["total"] if data["done"] else None
        self._bars.update(
            self._tasks[run_id], description=_label(data), total=total, completed=data["done"]
        )

    def _finish(self, run_id: UUID, outcome: str | None) -> None:
        with self._lock:
            last = self._last.pop(run_id, None)
            task = self._tasks.pop(run_id, None)
            if self._bars is not None and task is not None:
                self._bars.remove_task(task)
                if not self._tasks:
                    self._bars.stop()
                    self._bars = None
            if last is not None and (outcome or self.console.is_terminal):
                shown = {**last, "phase": outcome or last["phase"]}
                self.console.print(_line(shown), highlight=False, markup=False)


def _bars(console: Console) -> ProgressBars:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _label(data: dict[str, Any]) -> str:
    count = f" {data['done']}/{data['total']}" if data["total"] > 1 else ""
    step = data["phase"] if data["phase"] != "waiting" else data["status"]
    return f"{data['tool']}: {step}{count}"


def _line(data: dict[str, Any]) -> str:
    note = f": {data['message']}" if data["message"] else ""
    return f"  {_label(data)} ({data['elapsed']:.1f} s){note}"
