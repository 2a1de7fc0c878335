"""Logic that waits, written once for sync and async.

Such logic is an `async def` that awaits only the operations below: each hands itself to the
driver that runs the coroutine, and returns what the driver answers. `drivers` has the two
drivers, one blocking and one on an event loop. mypy reports an operation that nobody awaits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from typing_extensions import ParamSpec

from oxen_inference.transport import Call

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")

Work: TypeAlias = Coroutine[Any, Any, T]
"""A coroutine that awaits operations only."""

_NAP = 0.2  # seconds after which a sleeper notices a stop request
_SHORTEST_TIMEOUT = 0.1  # seconds


class Operation(Generic[T]):
    """What a driver does for the coroutine that awaits it."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, T]:
        answer: T = yield self
        return answer


class NotAllowed(Exception):  # noqa: N818 - an answer, not a failure
    """A paid call was not made, because its `may_send` returned False."""


class NotSent(Exception):  # noqa: N818 - says which half of the work was done
    """A paid call was given up between its `may_send` and its first byte, because of `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class StopRequest:
    """Tells shielded work that its caller was interrupted: finish what is begun, begin no more."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        self.is_set = True


class Event(Protocol):
    """What `wait_event` waits for: `threading.Event`, or `asyncio.Event`, as the driver makes it."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class Send(Operation[T]):
    call: Call[T]


@dataclass(frozen=True, slots=True, eq=False)
class PostOnce(Operation[object]):
    call: Call[object]
    may_send: Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Run(Operation[T]):
    function: Callable[[], T]
    uses_network: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RunTogether(Operation[T]):
    function: Callable[[list[Any]], Sequence[T | Exception]]
    item: Any


@dataclass(frozen=True, slots=True, eq=False)
class Invoke(Operation[T]):
    function: Callable[[], T | Awaitable[T]]


@dataclass(frozen=True, slots=True, eq=False)
class Sleep(Operation[None]):
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class WaitEvent(Operation[bool]):
    event: Any
    seconds: float | None


@dataclass(frozen=True, slots=True, eq=False)
class WaitFuture(Operation[T]):
    future: Future[T]
    seconds: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Within(Operation[T]):
    work: Work[T]
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Shield(Operation[T]):
    work: Work[T]
    stop: StopRequest


@dataclass(frozen=True, slots=True, eq=False)
class Gather(Operation[list["T | Exception"]]):
    parts: Sequence[Work[T]]
    stops: Sequence[StopRequest]


def send(call: Call[T]) -> Operation[T]:
    """Make a call that is free to repeat. Raises `OxenError`."""
    return Send(call)


def post_once(call: Call[object], may_send: Callable[[], bool]) -> Operation[object]:
    """Make a call that costs money, one time, and return its decoded body.

    `may_send` is asked when the connection stands, right before the first byte is sent; on False
    the call is not made and `NotAllowed` is raised. `NotSent`: the time was over before the answer
    of `may_send` could be used.
    """
    return PostOnce(call, may_send)


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Operation[T]:
    """Call a function that blocks on the disk or the ledger."""
    return Run(lambda: function(*args, **kwargs))


def run_together(function: Callable[[list[S]], Sequence[T | Exception]], item: S) -> Operation[T]:
    """Call a function that blocks on the ledger, one time for all who call it at this moment.

    It takes the items of all of them, and returns a result or an error for each.
    """
    return RunTogether(function, item)


def run_on_network(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Operation[T]:
    """Call a function that blocks on the network, and so must not hold up the ledger."""
    return Run(lambda: function(*args, **kwargs), uses_network=True)


def invoke(
    function: Callable[P, T | Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> Operation[T]:
    """Call a function of the client's own kind: blocking under the blocking driver, a coroutine
    function, or a plain one, under the other.
    """
    return Invoke(lambda: function(*args, **kwargs))


async def sleep(seconds: float, stop: StopRequest | None = None) -> None:
    """Do nothing for some seconds, or until `stop` is set."""
    while seconds > 0 and not (stop and stop.is_set):
        nap = min(seconds, _NAP) if stop else seconds
        await Sleep(nap)
        seconds -= nap


def wait_event(event: Any, seconds: float | None) -> Operation[bool]:
    """Wait until `event` is set, at most `seconds`; return whether it was."""
    return WaitEvent(event, seconds)


def wait_future(future: Future[T], seconds: float | None = None) -> Operation[T]:
    """Return the result of a future that another thread or task completes.

    Raises `TimeoutError` after `seconds`; the future goes on.
    """
    return WaitFuture(future, seconds)


def within(seconds: float, work: Work[T]) -> Operation[T]:
    """Do `work` in `seconds` altogether, or raise `TimeoutError` and leave it to itself."""
    return Within(work, seconds)


def shield(work: Work[T], stop: StopRequest | None = None) -> Operation[T]:
    """Do `work` to its end whatever happens to the caller; an interrupt sets `stop`, and is
    raised when the work has ended.
    """
    return Shield(work, stop or StopRequest())


def gather(
    parts: Sequence[Work[T]], stops: Sequence[StopRequest]
) -> Operation[list[T | Exception]]:
    """Do `parts` side by side and return their results and errors, in order.

    An interrupt sets `stops`, and is raised when all have ended.
    """
    return Gather(parts, stops)


class with_deadline(Generic[T]):  # noqa: N801 - reads as the function it is used as
    """Await `work`, with no request in it longer than what is left, in seconds, by then.

    What is shielded, and what is paid for, takes its own time.
    """

    __slots__ = ("_left", "_work")

    def __init__(self, work: Work[T], left: Callable[[], float | None]) -> None:
        self._work = work
        self._left = left

    def __await__(self) -> Generator[Any, Any, T]:
        work = self._work
        try:
            operation = work.send(None)
            while True:
                try:
                    answer = yield _bounded(operation, self._left())
                except BaseException as error:  # noqa: BLE001, PERF203 - raised where it was awaited
                    operation = work.throw(error)
                else:
                    operation = work.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            work.close()


def _bounded(operation: Any, left: float | None) -> Any:
    if left is None or not isinstance(operation, Send):
        return operation
    # Half of it: once more after a hiccup, and in time all the same.
    half = max(left, _SHORTEST_TIMEOUT) / 2
    call = operation.call
    limit = call.timeout if isinstance(call.timeout, int | float) else half
    return Send(replace(call, timeout=min(limit, half), max_retries=1))
