"""One poller for each account, elected in the ledger: it asks the hub, the others read its rows.

A turn has an end by the database's clock, so that one that dies is replaced. `wanted` jobs are
written by who waits for them; the poller asks about all of them and writes what it learned.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from oxen_inference.generation import Generation
from oxen_inference.ledger.entries import Scope
from oxen_inference.ledger.leases import is_alive
from oxen_inference.ledger.schema import leases, pollers, polls
from oxen_inference.ledger.statements import insert_new, now
from oxen_inference.ledger.store import Ledger

_WANTED_SECONDS = 60.0
_RENEWED_BELOW = 30.0  # seconds for which a job is still wanted
_AT_ONCE = 500  # ids in a statement
_KEPT = ("seed", "images", "videos", "audios")  # parameters of a row that say what it made

_SCOPE: dict[str, Any] = {"hub": bindparam("of_hub"), "account": bindparam("of_account")}
_POLLER = (
    select(
        pollers.c.holder,
        (pollers.c.held_until - now()).label("left"),
        (pollers.c.rest_until - now()).label("rest"),
        leases.c.identity,
        (now() - leases.c.heartbeat_at).label("lease_age"),
    )
    .outerjoin(leases, leases.c.lease_id == pollers.c.lease_id)
    .where(pollers.c.hub == _SCOPE["hub"], pollers.c.account == _SCOPE["account"])
)
_TAKE = (
    update(pollers)
    .where(
        pollers.c.hub == _SCOPE["hub"],
        pollers.c.account == _SCOPE["account"],
        or_(
            pollers.c.holder == bindparam("me"),
            pollers.c.holder == bindparam("ended"),
            pollers.c.held_until < now(),
        ),
    )
    .values(
        holder=bindparam("me"), lease_id=bindparam("lease"), held_until=now() + bindparam("hold")
    )
)
_RESIGN = (
    update(pollers)
    .where(
        pollers.c.hub == _SCOPE["hub"],
        pollers.c.account == _SCOPE["account"],
        pollers.c.holder == bindparam("me"),
    )
    .values(held_until=0.0)
)
_REST = (
    update(pollers)
    .where(pollers.c.hub == _SCOPE["hub"], pollers.c.account == _SCOPE["account"])
    .values(rest_until=now() + bindparam("rest"))
)
_IN_SCOPE = (polls.c.hub == _SCOPE["hub"], polls.c.account == _SCOPE["account"])
_ROWS = select(
    polls.c.generation_id,
    polls.c.row,
    (now() - polls.c.asked_at).label("age"),
    (polls.c.wanted_until - now()).label("left"),
).where(*_IN_SCOPE, polls.c.generation_id.in_(bindparam("ids", expanding=True)))
_WANTED = select(
    polls.c.generation_id,
    polls.c.media_type,
    polls.c.model,
    polls.c.namespace,
    (now() - polls.c.since).label("age"),
).where(*_IN_SCOPE, polls.c.ended == 0, polls.c.wanted_until > now())
_WANT = insert_new(polls).values(
    ended=0, since=now(), wanted_until=now() + _WANTED_SECONDS, row=None, asked_at=None
)
_WANT_LONGER = (
    update(polls)
    .where(*_IN_SCOPE, polls.c.generation_id == bindparam("job"))
    .values(wanted_until=now() + _WANTED_SECONDS)
)
_FORGET = delete(polls).where(*_IN_SCOPE, polls.c.wanted_until < now())
_SET_ROW = (
    update(polls)
    .where(*_IN_SCOPE, polls.c.generation_id == bindparam("job"))
    .values(row=bindparam("content"), ended=bindparam("is_over"), asked_at=now())
)
_SET_ASKED = (
    update(polls)
    .where(*_IN_SCOPE, polls.c.generation_id == bindparam("job"))
    .values(asked_at=now())
)


@dataclass(frozen=True, slots=True)
class WantedJob:
    """A job that a process waits for."""

    generation_id: str
    media_type: str
    model: str
    namespace: str | None
    age: float = 0.0
    """Seconds since it was first waited for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is to ask the hub, and what is known.

    `is_anothers`: another process has it; neither, where nobody does. `others`: for the poller, the
    jobs that other processes wait for. `rows` and `ages`: for the others, the last row of each job
    and the seconds since the hub was asked about it. `rest`: seconds for which the hub wants no
    requests of this account.
    """

    is_mine: bool
    is_anothers: bool = False
    others: tuple[WantedJob, ...] = ()
    rows: Mapping[str, Generation] | None = None
    ages: Mapping[str, float] | None = None
    rest: float = 0.0


class SharedPolling:
    """The view that one client's poller has of all pollers of its account."""

    def __init__(self, ledger: Ledger, scope: Callable[[], Scope]) -> None:
        self._ledger = ledger
        self._scope = scope
        self._token, self._made_by = uuid.uuid4().hex, os.getpid()

    def take_turn(
        self, jobs: Sequence[WantedJob], hold: float, *, may_ask: bool = True
    ) -> Turn | None:
        """Take or keep the turn for `hold` seconds, where nobody else has it and `may_ask`; else
        register the jobs and return what the ledger knows of them.

        None for a ledger in memory, which one process has for itself. Raises `LedgerError`.
        """
        if not self._ledger.durable:
            return None
        with self._ledger.database.reading() as connection:
            held = connection.execute(_POLLER, self._parameters()).one_or_none()
        is_free = held is None or held.left is None or held.left <= 0 or held.holder == self._me
        ended = None
        if not is_free and held is not None and is_alive(held.identity, held.lease_age) is False:
            ended = held.holder
        rest = max(held.rest or 0.0, 0.0) if held is not None else 0.0
        if may_ask and (is_free or ended is not None):
            others = self._take(hold, ended)
            if others is not None:
                mine = {job.generation_id for job in jobs}
                others = [each for each in others if each.generation_id not in mine]
                return Turn(True, others=tuple(others), rest=rest)
            is_free, ended = False, None
        rows, ages = self._look(jobs)
        is_anothers = not is_free and ended is None
        return Turn(False, is_anothers, rows=rows, ages=ages, rest=rest)

    def _take(self, hold: float, ended: str | None) -> list[WantedJob] | None:
        """Return the jobs that anybody waits for; None if another process was faster."""
        scope, lease = self._scope(), self._ledger.lease_id
        values = {"me": self._me, "ended": ended, "lease": lease, "hold": hold}
        with self._ledger.database.writing() as connection:
            if not connection.execute(_TAKE, self._parameters(**values)).rowcount:
                row = {
                    "hub": scope.hub, "account": scope.account, "holder": self._me,
                    "lease_id": lease, "rest_until": 0.0,
                }  # fmt: skip
                new = insert_new(pollers).values(held_until=now() + hold)
                if not connection.execute(new, row).rowcount:
                    return None
            connection.execute(_FORGET, self._parameters())
            rows = connection.execute(_WANTED, self._parameters())
            return [WantedJob(*row) for row in rows]

    def _look(self, jobs: Sequence[WantedJob]) -> tuple[dict[str, Generation], dict[str, float]]:
        rows: dict[str, Generation] = {}
        ages: dict[str, float] = {}
        left: dict[str, float] = {}
        with self._ledger.database.reading() as connection:
            for first in range(0, len(jobs), _AT_ONCE):
                ids = [job.generation_id for job in jobs[first : first + _AT_ONCE]]
                for found in connection.execute(_ROWS, self._parameters(ids=ids)):
                    left[found.generation_id] = found.left
                    if found.age is not None:
                        ages[found.generation_id] = found.age
                    row = _read(found.generation_id, found.row)
                    if row is not None:
                        rows[found.generation_id] = row
        missing = [job for job in jobs if job.generation_id not in left]
        short = [each for each, seconds in left.items() if seconds < _RENEWED_BELOW]
        if missing or short:
            with self._ledger.database.writing() as connection:
                self._want(connection, missing, short)
        return rows, ages

    def _want(
        self, connection: Connection, missing: Sequence[WantedJob], short: Sequence[str]
    ) -> None:
        scope = self._scope()
        if missing:
            new = [
                {
                    "hub": scope.hub, "account": scope.account, "generation_id": job.generation_id,
                    "media_type": job.media_type, "model": job.model, "namespace": job.namespace,
                }
                for job in missing
            ]  # fmt: skip
            connection.execute(_WANT, new)
        if short:
            connection.execute(_WANT_LONGER, [self._parameters(job=each) for each in short])

    def publish(self, asked: Iterable[str], rows: Mapping[str, Generation]) -> None:
        """Write what the hub said of jobs that others wait for. Raises `LedgerError`."""
        known = [
            self._parameters(
                job=each, content=_write(rows[each]), is_over=int(rows[each].is_terminal)
            )
            for each in asked
            if each in rows
        ]
        unlisted = [self._parameters(job=each) for each in asked if each not in rows]
        if not (known or unlisted):
            return
        with self._ledger.database.writing() as connection:
            if known:
                connection.execute(_SET_ROW, known)
            if unlisted:
                connection.execute(_SET_ASKED, unlisted)

    def resign(self) -> None:
        """Leave the turn to another process. Raises `LedgerError`."""
        with self._ledger.database.writing() as connection:
            connection.execute(_RESIGN, self._parameters(me=self._me))

    def rest(self, seconds: float) -> None:
        """Write for how long the hub wants no requests of this account. Raises `LedgerError`."""
        with self._ledger.database.writing() as connection:
            connection.execute(_REST, self._parameters(rest=seconds))

    @property
    def _me(self) -> str:
        if self._made_by != os.getpid():  # a fork is another process
            self._token, self._made_by = uuid.uuid4().hex, os.getpid()
        return self._token

    def _parameters(self, **more: Any) -> dict[str, Any]:
        scope = self._scope()
        return {"of_hub": scope.hub, "of_account": scope.account, **more}


def _write(row: Generation) -> str:
    # The waiters have the request: neither its prompt nor its parameters are written once more.
    params = {name: row.params[name] for name in _KEPT if name in row.params}
    cost = None if row.cost is None else str(row.cost)
    fields = {**asdict(replace(row, prompt=None, params=params)), "cost": cost}
    return json.dumps(fields, default=str)


def _read(generation_id: str, text: str | None) -> Generation | None:
    """Return a written row; None where there is none, or none that can be read."""
    try:
        fields = json.loads(text or "null")
        cost = fields.pop("cost")
        row = Generation(**fields, cost=None if cost is None else Decimal(cost))
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError):
        return None
    return row if row.generation_id == generation_id else None
