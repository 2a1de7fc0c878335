"""Faults on demand: what goes wrong, when, and how often, as data.

Each action belongs to one injection point, which draws only its own kind:

* ``answer``: `respond`, `reset`, `hang`, `delay`, `truncate`, with `when="before"` the request
  is handled or `"after"` (a job is accepted, its answer lost)
* ``stream``: `cut_stream`, `reset_stream`, `error_in_stream`, `slow_stream`, `odd_stream`
* ``job``: `fail_job`, `stall_job`, `slow_job`, `price_job`, `nest_result` (drawn per job accepted)
* ``rows``: `hide_rows`
* ``event``: `lose_event`
* ``deployment``: `fail_deployment`
"""

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal

POINTS = {
    "respond": "answer", "reset": "answer", "hang": "answer", "delay": "answer",
    "truncate": "answer",
    "cut_stream": "stream", "reset_stream": "stream", "error_in_stream": "stream",
    "slow_stream": "stream", "odd_stream": "stream",
    "fail_job": "job", "stall_job": "job", "slow_job": "job", "price_job": "job",
    "nest_result": "job",
    "hide_rows": "rows", "lose_event": "event", "fail_deployment": "deployment",
}  # fmt: skip

_ANSWERING = ("respond", "error_in_stream")
_OF_ANSWERS = ("status", "type", "shape", "body", "content_type", "headers", "retry_after")

STYLES = frozenset({
    "calls_in_one_chunk", "null_index", "no_index", "repeat_id_name", "repeat_usage",
    "repeat_finish", "no_done", "no_finish", "reasoning_first",
})  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, for requests whose method and path (globs) match.

    `skip` matching requests pass, then it happens `times` times (None: always), each with
    `probability` drawn from `seed`. `seconds` are real seconds, except for `slow_job` and
    `hide_rows` (hub seconds). Raises ValueError for an unknown action or style, and for what
    the action makes no use of.
    """

    action: str
    when: Literal["before", "after"] = "before"
    method: str = "*"
    path: str = "*"
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    status: int = 500
    message: str = "Something went wrong."
    type: str | None = None
    shape: Literal["oxen", "openai", "text", "status"] = "oxen"
    body: str | bytes | dict[str, Any] | list[Any] | None = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: float | str | None = None
    seconds: float | None = None
    after_chunks: int = 0
    after_bytes: int = 0
    style: str | tuple[str, ...] = ()
    cost: str | None = None
    under: str | None = None

    def __post_init__(self) -> None:
        if self.action not in POINTS:
            raise ValueError(f"unknown fault {self.action!r}; one of {', '.join(POINTS)}")
        unknown = set(self.styles) - STYLES
        if unknown:
            raise ValueError(f"unknown style {unknown}; some of {', '.join(sorted(STYLES))}")
        if self.action not in _ANSWERING:
            defaults = {field.name: field.default for field in fields(self)}
            idle = [name for name in _OF_ANSWERS if getattr(self, name) != defaults[name]]
            if idle:
                raise ValueError(f"{self.action} sends no answer of its own: {', '.join(idle)}")
        if self.under is not None and self.action != "nest_result":
            raise ValueError(f"{self.action} makes no use of: under")
        if self.action == "odd_stream" and not self.styles:
            raise ValueError(f"odd_stream needs a style: {', '.join(sorted(STYLES))}")

    @property
    def styles(self) -> tuple[str, ...]:
        """`style` as a tuple."""
        return (self.style,) if isinstance(self.style, str) else tuple(self.style)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fault":
        """A fault from a JSON object of the same names; raises ValueError for unknown names."""
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        values = dict(data)
        if "headers" in values:
            values["headers"] = tuple((str(key), str(value)) for key, value in values["headers"])
        if isinstance(values.get("style"), list):
            values["style"] = tuple(values["style"])
        return cls(**values)


class _Injected:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self.dice = random.Random(fault.seed)  # noqa: S311 - repeatable, not secret

    def fires(self, method: str, path: str) -> bool:
        fault = self.fault
        if not (fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path)):
            return False
        if fault.times is not None and self.fired >= fault.times:
            return False
        self.seen += 1
        if self.seen <= fault.skip or self.dice.random() >= fault.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The injected faults; safe to use from any thread."""

    def __init__(self) -> None:
        self._injected: list[_Injected] = []
        self._lock = threading.Lock()

    def inject(self, *faults: Fault) -> None:
        """Add faults; where several match, the one added first happens first."""
        with self._lock:
            self._injected.extend(map(_Injected, faults))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._injected.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter([injected.fault for injected in self._injected])

    def __len__(self) -> int:
        return len(self._injected)

    def report(self) -> list[dict[str, Any]]:
        """Each fault with how often it matched and happened."""
        return [
            {**_plain(asdict(injected.fault)), "seen": injected.seen, "fired": injected.fired}
            for injected in self._injected
        ]

    def draw(self, point: str, method: str, path: str) -> Fault | None:
        """The first fault of this injection point that happens to this request."""
        if not self._injected:
            return None
        with self._lock:
            for injected in self._injected:
                if POINTS[injected.fault.action] == point and injected.fires(method, path):
                    return injected.fault
        return None

    def draw_all(self, point: str, method: str, path: str) -> list[Fault]:
        """Every fault of this injection point that happens to this request."""
        if not self._injected:
            return []
        with self._lock:
            return [
                injected.fault
                for injected in self._injected
                if POINTS[injected.fault.action] == point and injected.fires(method, path)
            ]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    body = values["body"]
    if isinstance(body, bytes):
        values["body"] = body.decode("utf-8", "replace")
    return {key: value for key, value in values.items() if value not in (None, (), "*")}
