"""What was fetched of the catalog, shared by every client of one hub and key in the process.

However many threads and event loops ask at once, one of them fetches and the others wait for
it. Nothing here does I/O.
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

EVERYTHING = "/models"
"""The key of the whole list."""

Models = tuple[Model, ...]

_MAX_ACCOUNTS = 64
_MAX_ANSWERS = 512
_QUIET_AFTER_FAILURE = 15.0  # seconds in which a failed fetch is not tried again


class Abandoned(Exception):  # noqa: N818 - not an error: the next in line takes over
    """The one who was fetching went away without an answer."""


@dataclass
class Answer:
    """What a fetch brought, and when."""

    models: Models
    fetched_at: float
    wait_until: float = 0.0
    """The hub failed since: serve this one until then."""


@dataclass
class Flight:
    """A fetch on its way."""

    key: str
    epoch: int
    thread: int = field(default_factory=threading.get_ident)
    landing: Future[Models] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # Running futures cannot be cancelled: one waiter that gives up must not end it for all.
        self.landing.set_running_or_notify_cancel()


@dataclass(frozen=True)
class Seat:
    """A fresh answer, or else a flight to wait for, or to be the pilot of."""

    models: Models | None = None
    flight: Flight | None = None
    is_pilot: bool = False


class CatalogCache:
    """Answers by key, and the fetches on their way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._by_id: dict[str, Model] = {}
        self._flights: dict[str, Flight] = {}
        self._epoch = 0

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

    def board(self, key: str, ttl: float) -> Seat:
        """Return a fresh answer, or the flight that is to bring one."""
        with self._lock:
            known = self._fresh(key, ttl)
            if known is not None:
                return Seat(models=known)
            flight = self._flights.get(key)
            if flight is not None:
                return Seat(flight=flight)
            flight = self._flights[key] = Flight(key, self._epoch)
            return Seat(flight=flight, is_pilot=True)

    def land(self, flight: Flight, models: Iterable[Model]) -> Models:
        """Store what the pilot brought and hand it to everyone waiting."""
        landed = tuple(models)
        with self._lock:
            # An empty catalog is a hub's mistake, not news worth keeping.
            if flight.epoch == self._epoch and (landed or flight.key != EVERYTHING):
                self._store(flight.key, landed)
        self._end(flight, models=landed)
        return landed

    def divert(self, flight: Flight, error: Exception, *, stale_allowed: bool) -> Answer | None:
        """End a failed flight: with the last known answer for everyone, or with `error`."""
        with self._lock:
            answer = self._answers.get(flight.key) if stale_allowed else None
            if answer is not None:
                answer.wait_until = self._clock() + _QUIET_AFTER_FAILURE
        if answer is None:
            self._end(flight, error=error)
        else:
            self._end(flight, models=answer.models)
        return answer

    def abandon(self, flight: Flight) -> None:
        """Give up a flight: one of those waiting takes over."""
        self._end(flight, error=Abandoned())

    def age(self, answer: Answer) -> float:
        """Return how many seconds old an answer is."""
        return self._clock() - answer.fetched_at

    def put(self, model: Model) -> None:
        """Store one model that came outside a flight."""
        with self._lock:
            self._store(f"{EVERYTHING}/{model.id}", (model,))

    def forget(self) -> None:
        """Drop everything; a fetch that is on its way serves its waiters and is not kept."""
        with self._lock:
            self._epoch += 1
            self._answers.clear()
            self._by_id = {}

    def _fresh(self, key: str, ttl: float) -> Models | None:
        answer = self._answers.get(key)
        if answer is None:
            return None
        now = self._clock()
        return answer.models if now - answer.fetched_at < ttl or now < answer.wait_until else None

    def _store(self, key: str, models: Models) -> None:
        self._answers[key] = Answer(models, self._clock())
        self._answers.move_to_end(key)
        while len(self._answers) > _MAX_ANSWERS:
            oldest = next(name for name in self._answers if name != EVERYTHING)
            del self._answers[oldest]
        # Replaced as a whole: `peek` reads it without the lock.
        self._by_id = {**self._by_id, **{model.id: _richer(self._by_id, model) for model in models}}

    def _end(self, flight: Flight, *, models: Models = (), error: Exception | None = None) -> None:
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        # A pilot comes too late where somebody had waited too long, and gave the flight up.
        with suppress(InvalidStateError):
            if error is None:
                flight.landing.set_result(models)
            else:
                flight.landing.set_exception(error)


def _richer(known: dict[str, Model], model: Model) -> Model:
    """The list may leave out the schema that the single model has."""
    before = known.get(model.id)
    if model.request_schema is None and before is not None and before.request_schema is not None:
        return before
    return model


_caches: OrderedDict[tuple[str, Any], CatalogCache] = OrderedDict()
_caches_lock = threading.Lock()


def shared_cache(base_url: str, key: Any) -> CatalogCache:
    """Return the cache of one hub and key; `key` is a string, or a function that returns one."""
    scope = sha256(key.encode()).hexdigest() if isinstance(key, str) else key
    with _caches_lock:
        cache = _caches.setdefault((base_url.rstrip("/"), scope), CatalogCache())
        _caches.move_to_end((base_url.rstrip("/"), scope))
        while len(_caches) > _MAX_ACCOUNTS:
            _caches.popitem(last=False)
        return cache


def clear_cache() -> None:
    """Forget every catalog fetched in this process, for tests that each want their own."""
    with _caches_lock:
        for cache in _caches.values():
            cache.forget()
        _caches.clear()
