"""Work that waits, written once for sync and async: a generator asks, a runner does.

The logic of paid media is in generators that yield what they need done (`Send`, `Pay`, `Run`,
…) and are sent back the answer, or thrown the error. `runner.py` holds the two runners: only
there does the awaiting differ.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from typing_extensions import ParamSpec

from oxen_inference.transport import Call

T = TypeVar("T")
P = ParamSpec("P")

Steps = Generator[Any, Any, T]
"""A computation that yields the steps below and returns a T."""

_NAP = 0.2  # seconds: how long an interrupted sleeper may take to notice

_LEAST = 0.1  # seconds: what is known already needs no more


@dataclass(frozen=True, slots=True)
class Send(Generic[T]):
    """Make a call that is free to repeat; the answer is the call's own."""

    call: Call[T]


class NotAllowed(Exception):  # noqa: N818 - an answer, not a failure
    """A paid call was not made, because `Pay.may_send` said no."""


@dataclass(frozen=True, slots=True)
class Pay:
    """Make a call that costs money, one time; the answer is the decoded body, unread.

    `may_send` is asked when the connection stands, right before the first byte is sent; on False
    the call is not made and `NotAllowed` raised.
    """

    call: Call[object]
    may_send: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """Call a function that blocks on the disk, or with `slow` on the network."""

    function: Callable[[], T]
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for some seconds."""

    seconds: float


class Wakeable(Protocol):
    """What `Pause` waits for; the runner makes it (`threading.Event` or `asyncio.Event`)."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait until `event` is set, at most `seconds`; the answer is whether it was."""

    event: Any
    seconds: float | None


@dataclass(frozen=True, slots=True)
class GetModel:
    """Look a model up in the catalog; the answer is a `Model`.

    `patience`: seconds after which `APITimeoutError` is raised.
    """

    model_id: str
    patience: float | None = None


@dataclass(frozen=True, slots=True)
class Explain:
    """Let the catalog say more about a refusal; the answer is the error to raise."""

    error: Any
    model_id: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Call a listener of the caller's; an awaitable it returns is awaited by the async runner."""

    listener: Callable[[Any], Any]
    event: Any


@dataclass(frozen=True, slots=True)
class Together(Generic[T]):
    """Run several computations side by side; the answer is a list of results and errors."""

    parts: list[Steps[T]]
    hastes: list[Haste]


class Haste:
    """Tells shielded work that its caller was interrupted: finish what is begun, begin no more."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        self._asked.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()


@dataclass(frozen=True, slots=True)
class Shielded(Generic[T]):
    """Run to the end whatever happens to the caller; an interrupt is raised only after that."""

    steps: Steps[T]
    haste: Haste = field(default_factory=Haste)


def in_time(steps: Steps[T], left: Callable[[], float | None]) -> Steps[T]:
    """Do `steps`, with no request or look-up among them longer than what is `left`, in seconds.

    What is shielded takes its own time.
    """
    resume: Callable[[], Any] = partial(next, steps)
    while True:
        try:
            step = resume()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            answer = yield _bounded(step, left())
        except BaseException as error:  # noqa: BLE001 - raised where the step was asked for
            resume = partial(steps.throw, error)
        else:
            resume = partial(steps.send, answer)


def _bounded(step: Any, left: float | None) -> Any:
    if left is None:
        return step
    left = max(left, _LEAST)
    match step:
        case GetModel(model_id):
            return GetModel(model_id, left)
        case Send(call):
            # Once more after a hiccup, and in time all the same.
            half = left / 2
            limit = call.timeout if isinstance(call.timeout, int | float) else half
            return Send(replace(call, timeout=min(limit, half), max_retries=1))
    return step


def send(call: Call[T]) -> Steps[T]:
    answer: T = yield Send(call)
    return answer


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    answer: T = yield Run(lambda: function(*args, **kwargs))
    return answer


def run_slow(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    answer: T = yield Run(lambda: function(*args, **kwargs), slow=True)
    return answer


def shielded(steps: Steps[T], haste: Haste | None = None) -> Steps[T]:
    answer: T = yield Shielded(steps, haste or Haste())
    return answer


def together(parts: list[Steps[T]], hastes: list[Haste]) -> Steps[list[T | Exception]]:
    """Run `parts` side by side; an interrupt asks their `hastes`, and is raised when all ended."""
    answer: list[T | Exception] = yield Together(parts, hastes)
    return answer


def sleep(seconds: float, haste: Haste | None = None) -> Steps[None]:
    """Sleep, but no longer than until haste is asked for."""
    while seconds > 0 and not (haste and haste.asked):
        nap = min(seconds, _NAP) if haste else seconds
        yield Sleep(nap)
        seconds -= nap
