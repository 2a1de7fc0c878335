"""What was fetched of the catalog, shared by every client of one hub and key in the process.

However many threads and event loops ask at once, one of them fetches and the others wait for it.
Nothing here does I/O.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from oxen_inference.catalog.models import Model
from oxen_inference.locks import Lock

EVERYTHING = "/models"
"""The key of the whole list."""

Models = tuple[Model, ...]

_MAX_ACCOUNTS = 64
_MAX_ANSWERS = 512
_QUIET_AFTER_FAILURE = 15.0  # seconds in which a failed fetch is not tried again


class Abandoned(Exception):  # noqa: N818 - not an error: another waiter takes over
    """The leader of a fetch left without an answer."""


@dataclass
class Answer:
    """What a fetch returned, and when."""

    models: Models
    fetched_at: float
    serve_until: float = 0.0
    """The hub has failed since: this answer is served until then."""


@dataclass
class InFlight:
    """A fetch that is under way."""

    key: str
    epoch: int
    thread: int = field(default_factory=threading.get_ident)
    result: Future[Models] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # A running future cannot be canceled: one waiter that gives up must not end it for all.
        self.result.set_running_or_notify_cancel()


@dataclass(frozen=True)
class Ticket:
    """A fresh answer, or else a fetch to wait for, or to lead."""

    models: Models | None = None
    in_flight: InFlight | None = None
    is_leader: bool = False


class CatalogCache:
    """Answers by key, and the fetches under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock(after_fork=self._forget_fetches)
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._by_id: dict[str, Model] = {}
        self._in_flight: dict[str, InFlight] = {}
        self._epoch = 0

    def _forget_fetches(self) -> None:
        """Forget fetches that threads of a parent process made."""
        self._in_flight = {}

    def fresh(self, key: str, ttl: float) -> Models | None:
        """Return what is known under `key` if it is younger than `ttl` seconds."""
        with self._lock:
            return self._fresh(key, ttl)

    def peek(self, model_id: str) -> Model | None:
        """Return what is known of a model, however old."""
        return self._by_id.get(model_id)

    def ids(self) -> list[str]:
        """Return the ids of the whole list, however old; empty if it was never fetched."""
        with self._lock:
            answer = self._answers.get(EVERYTHING)
        return [model.id for model in answer.models] if answer else []

    def join(self, key: str, ttl: float) -> Ticket:
        """Return a fresh answer, or the fetch that is to bring one: led by the first to ask."""
        with self._lock:
            known = self._fresh(key, ttl)
            if known is not None:
                return Ticket(models=known)
            in_flight = self._in_flight.get(key)
            if in_flight is not None:
                return Ticket(in_flight=in_flight)
            in_flight = self._in_flight[key] = InFlight(key, self._epoch)
            return Ticket(in_flight=in_flight, is_leader=True)

    def complete(self, in_flight: InFlight, models: Iterable[Model]) -> Models:
        """Store what the leader fetched and pass it to everyone who waits."""
        fetched = tuple(models)
        with self._lock:
            # An empty catalog is a hub's mistake: it is not kept.
            if in_flight.epoch == self._epoch and (fetched or in_flight.key != EVERYTHING):
                self._store(in_flight.key, fetched)
        self._end(in_flight, models=fetched)
        return fetched

    def fail(self, in_flight: InFlight, error: Exception, *, may_be_stale: bool) -> Answer | None:
        """End a failed fetch: with the last known answer for everyone, or with `error`."""
        with self._lock:
            answer = self._answers.get(in_flight.key) if may_be_stale else None
            if answer is not None:
                answer.serve_until = self._clock() + _QUIET_AFTER_FAILURE
        if answer is None:
            self._end(in_flight, error=error)
        else:
            self._end(in_flight, models=answer.models)
        return answer

    def abandon(self, in_flight: InFlight) -> None:
        """Give up a fetch: one of those who wait takes over."""
        self._end(in_flight, error=Abandoned())

    def age(self, answer: Answer) -> float:
        """Return how many seconds old an answer is."""
        return self._clock() - answer.fetched_at

    def put(self, model: Model) -> None:
        """Store one model that was fetched by itself."""
        with self._lock:
            self._store(f"{EVERYTHING}/{model.id}", (model,))

    def forget(self) -> None:
        """Drop everything; a fetch under way serves its waiters and is not kept."""
        with self._lock:
            self._epoch += 1
            self._answers.clear()
            self._by_id = {}

    def _fresh(self, key: str, ttl: float) -> Models | None:
        answer = self._answers.get(key)
        if answer is None:
            return None
        now = self._clock()
        return answer.models if now - answer.fetched_at < ttl or now < answer.serve_until else None

    def _store(self, key: str, models: Models) -> None:
        self._answers[key] = Answer(models, self._clock())
        self._answers.move_to_end(key)
        while len(self._answers) > _MAX_ANSWERS:
            oldest = next(name for name in self._answers if name != EVERYTHING)
            del self._answers[oldest]
        # Replaced as a whole: `peek` reads it without the lock.
        self._by_id = {**self._by_id, **{model.id: _richer(self._by_id, model) for model in models}}

    def _end(
        self, in_flight: InFlight, *, models: Models = (), error: Exception | None = None
    ) -> None:
        with self._lock:
            if self._in_flight.get(in_flight.key) is in_flight:
                del self._in_flight[in_flight.key]
        # The leader is too late where a waiter timed out and gave the fetch up.
        with suppress(InvalidStateError):
            if error is None:
                in_flight.result.set_result(models)
            else:
                in_flight.result.set_exception(error)


def _richer(known: dict[str, Model], model: Model) -> Model:
    """Return the fuller of two descriptions: the list may leave out the schema."""
    before = known.get(model.id)
    if model.request_schema is None and before is not None and before.request_schema is not None:
        return before
    return model


_caches: OrderedDict[tuple[str, Any], CatalogCache] = OrderedDict()
_caches_lock = Lock()


def shared_cache(base_url: str, key: Any) -> CatalogCache:
    """Return the cache of one hub and key; `key` is a string, or a function that returns one."""
    scope = sha256(key.encode()).hexdigest() if isinstance(key, str) else key
    account = (base_url.rstrip("/"), scope)
    with _caches_lock:
        cache = _caches.get(account)
        if cache is None:
            cache = _caches[account] = CatalogCache()
        _caches.move_to_end(account)
        while len(_caches) > _MAX_ACCOUNTS:
            _caches.popitem(last=False)
        return cache


def clear_cache() -> None:
    """Forget every catalog fetched in this process, for tests that each want their own."""
    with _caches_lock:
        for cache in _caches.values():
            cache.forget()
        _caches.clear()
