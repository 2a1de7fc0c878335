"""What many paid requests write at one moment, in one transaction: it costs one commit.

Only what is plain is written like this, be it one or many: a new entry, the first answer to a
request, how far generations are. Everything else, and a group that the database refuses, is written
one by one by `store`, whose rules are the same.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, bindparam, insert, select

from oxen_inference.errors import OxenError
from oxen_inference.ledger import accounts
from oxen_inference.ledger.accounts import Reservation, to_units, to_usd
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.generations import ACCEPT, SET_ITEM, read_item
from oxen_inference.ledger.leases import begin_work, end_work
from oxen_inference.ledger.schema import (
    calls,
    charges,
    entries,
    failures,
    generations,
    reservations,
)
from oxen_inference.ledger.statements import insert_new, now
from oxen_inference.ledger.store import Begun, Ledger, Undecided, lock_names, request_columns
from oxen_inference.result import MediaItem

T = TypeVar("T")
S = TypeVar("S")

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_NOW = select(now())
_KNOWN_KEYS = (
    select(entries.c.key)
    .where(
        entries.c.hub == bindparam("hub"),
        entries.c.account == bindparam("account"),
        entries.c.key.in_(bindparam("keys", expanding=True)),
    )
    .union_all(select(calls.c.key).where(calls.c.key.in_(bindparam("keys", expanding=True))))
)
_BEGIN = insert(entries).values(state="intended", attempt=0, notes="[]")
_RESERVE = insert(reservations)
_STATES = (
    select(entries.c.entry_id, entries.c.state, entries.c.attempt)
    .where(entries.c.entry_id.in_(_IDS))
    .order_by(entries.c.id)  # two groups must not wait for each other
    .with_for_update()
)
_STATES_AND_CALLS = _STATES.add_columns(
    select(calls.c.id).where(calls.c.entry_id == entries.c.entry_id).exists().label("has_calls")
)
_ITEMS = select(generations.c.entry_id, generations.c.generation_id, generations.c.item).where(
    generations.c.entry_id.in_(_IDS)
)
_INSERT_ITEM = insert_new(generations).values(delivered=0)
_DELIVER_ITEM = SET_ITEM.values(delivered=1)
_HELD = (
    select(reservations).where(reservations.c.entry_id.in_(_IDS)).order_by(reservations.c.entry_id)
).with_for_update()
_CHARGED = (
    select(charges.c.charge_id)
    .where(charges.c.charge_id.in_(_IDS))
    .union_all(select(failures.c.charge_id).where(failures.c.charge_id.in_(_IDS)))
)
_CHARGE = insert(charges).values(charged_at=now())


class _OneByOneError(Exception):
    """A group cannot be written as one."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A request to write before it is sent; see `Ledger.begin`."""

    intent: Intent
    reservation: Callable[[], Reservation | None]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The ids that the hub gave for a request; see `Ledger.mark_accepted`."""

    entry: Entry
    generation_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """How far an entry's generations are; see `Ledger.update`."""

    entry: Entry
    is_delivered: bool = False


class GroupedWrites:
    """The moves of a ledger that may be made in groups: each returns a result or an error for
    each item, once all of them are written durably.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, asked: list[tuple[Scope, str]]) -> Sequence[Entry | Exception | None]:
        """Look for the entries that keys stand for."""
        if len({scope for scope, _ in asked}) > 1:
            return _each(asked, lambda each: self._ledger.find(*each))
        with self._ledger.database.reading() as connection:
            known = _known_keys(connection, asked[0][0], [key for _, key in asked])
        return _each(asked, lambda each: self._ledger.find(*each) if each[1] in known else None)

    def begin(self, wanted: list[Beginning]) -> Sequence[Begun | Undecided | Exception]:
        """Write new requests and reserve their money."""

        def one(each: Beginning) -> Begun | Undecided:
            return self._ledger.begin(each.intent, each.reservation())

        keys = Counter(each.intent.key for each in wanted)
        scopes = {each.intent.scope for each in wanted}
        has_conversation = any(each.intent.conversation is not None for each in wanted)
        if len(scopes) > 1 or has_conversation or _has_twins(keys):
            return _each(wanted, one)
        ids = [uuid.uuid4().hex for _ in wanted]
        for entry_id in ids:
            begin_work(entry_id, 0)
        try:
            return self._begin(wanted, ids)
        except BaseException as error:
            for entry_id in ids:
                end_work(entry_id, 0)
            if len(wanted) == 1 and isinstance(error, OxenError):
                return [error]
            if not isinstance(error, OxenError | _OneByOneError):
                raise
        return _each(wanted, one)

    def _begin(self, wanted: list[Beginning], ids: list[str]) -> list[Begun]:
        lease = self._ledger.lease_id
        held = [each.reservation() for each in wanted]
        scope = wanted[0].intent.scope
        names = {name for each in wanted for name in lock_names(each.intent)}
        with self._ledger.database.writing() as connection:
            self._ledger.database.lock(connection, *names)
            if _known_keys(connection, scope, [each.intent.key for each in wanted]):
                raise _OneByOneError
            time = float(connection.execute(_NOW).scalar_one())
            rows = [
                {
                    "entry_id": entry_id, "hub": scope.hub, "account": scope.account,
                    "key": each.intent.key, "model": each.intent.model,
                    "media_type": each.intent.media_type, "owner": lease, "created_at": time,
                    **request_columns(each.intent),
                }
                for entry_id, each in zip(ids, wanted, strict=True)
            ]  # fmt: skip
            connection.execute(_BEGIN, rows)
            _reserve(connection, zip(ids, held, strict=True))
        return [
            Begun(_new_entry(each.intent, entry_id, lease, time, money), is_mine=True)
            for each, entry_id, money in zip(wanted, ids, held, strict=True)
        ]

    def accept(self, answered: list[Acceptance]) -> Sequence[Entry | Exception | None]:
        """Write the ids that the hub gave; None for those that other entries have."""

        def one(each: Acceptance) -> Entry | None:
            is_ours = self._ledger.mark_accepted(each.entry, each.generation_ids, each.notes)
            return (
                (self._ledger.get(each.entry.entry_id) or with_generations(each))
                if is_ours
                else None
            )

        return self._together(answered, _accept, one)

    def update(self, changes: list[Change]) -> Sequence[Entry | Exception]:
        """Write how far generations are, and settle those whose cost is known."""

        def one(each: Change) -> Entry:
            items = each.entry.items
            return self._ledger.update(each.entry, items, is_delivered=each.is_delivered)

        # What failed without a bill keeps its money reserved, by rules of its own.
        if any(_has_unbilled_failure(each.entry) for each in changes):
            return _each(changes, one)
        return self._together(changes, _update, one)

    def _together(
        self,
        items: list[S],
        write: Callable[[Connection, list[S]], list[T]],
        one: Callable[[S], T],
    ) -> Sequence[T | Exception]:
        try:
            with self._ledger.database.writing() as connection:
                return write(connection, items)
        except _OneByOneError:
            pass
        except OxenError as error:
            if len(items) == 1:
                return [error]
            # One of them may be the reason, and not the others.
        return _each(items, one)


def with_generations(answer: Acceptance) -> Entry:
    """Return an entry with the ids that the hub gave for it."""
    items = tuple(MediaItem(generation_id=each) for each in answer.generation_ids)
    return replace(answer.entry, state="accepted", items=items, notes=answer.notes, error=None)


def _has_unbilled_failure(entry: Entry) -> bool:
    return any(i.is_terminal and i.cost is None and i.status != "succeeded" for i in entry.items)


def _each(items: Iterable[S], one: Callable[[S], T]) -> list[T | Exception]:
    results: list[T | Exception] = []
    for item in items:
        try:
            results.append(one(item))
        except Exception as error:  # noqa: BLE001, PERF203 - raised where it is waited for
            results.append(error)
    return results


def _has_twins(counted: Counter[Any]) -> bool:
    return any(number > 1 for each, number in counted.items() if each is not None)


def _known_keys(connection: Connection, scope: Scope, keys: Iterable[str | None]) -> set[str]:
    asked = {"hub": scope.hub, "account": scope.account, "keys": [k for k in keys if k is not None]}
    return set(connection.execute(_KNOWN_KEYS, asked).scalars()) if asked["keys"] else set()


def _reserve(connection: Connection, held: Iterable[tuple[str, Reservation | None]]) -> None:
    rows, totals, labels = [], Counter[str](), {}
    for entry_id, each in held:
        if each is None:
            continue
        unit = to_units(each.unit, ROUND_CEILING)
        rows.append(
            {"entry_id": entry_id, "budget": each.account, "unit": unit, "open": each.generations}
        )
        totals[each.account] += unit * each.generations
        labels[each.account] = each.label
    if rows:
        connection.execute(_RESERVE, rows)
    for account, total in sorted(totals.items()):
        accounts.take(connection, account, labels[account], total)


def _new_entry(
    intent: Intent, entry_id: str, lease: str, time: float, money: Reservation | None
) -> Entry:
    return Entry(
        entry_id=entry_id,
        hub=intent.scope.hub,
        account=intent.scope.account,
        key=intent.key,
        fingerprint=intent.fingerprint,
        caller_fingerprint=intent.caller_fingerprint,
        kind=intent.kind,
        model=intent.model,
        media_type=intent.media_type,
        request=intent.request,
        defaults=intent.defaults,
        count=intent.count,
        state="intended",
        attempt=0,
        owner=lease,
        created_at=time,
        posted_at=None,
        posted_ago=None,
        hub_sent_at=None,
        decided_at=None,
        error=None,
        notes=(),
        items=(),
        reserved=to_usd(0 if money is None else to_units(money.unit, ROUND_CEILING) * intent.count),
        quoted=intent.quoted,
        budget=None if money is None else money.account,
    )


def _accept(connection: Connection, answered: list[Acceptance]) -> list[Entry | None]:
    ids = [each.entry.entry_id for each in answered]
    states = _states(connection, ids)
    every_id = [each for answer in answered for each in answer.generation_ids]
    scope = {"hub": answered[0].entry.hub, "account": answered[0].entry.account}
    is_plain = (
        len(set(ids)) == len(ids)
        and len(set(every_id)) == len(every_id)
        and all(
            states.get(each.entry.entry_id) == ("posting", each.entry.attempt)
            and len(each.generation_ids) == each.entry.count
            and (each.entry.hub, each.entry.account) == tuple(scope.values())
            for each in answered
        )
    )
    if not is_plain:
        raise _OneByOneError
    rows = [
        {
            "entry_id": answer.entry.entry_id, "position": position, **scope,
            "generation_id": each, "item": json.dumps(MediaItem(generation_id=each).to_dict()),
        }
        for answer in answered
        for position, each in enumerate(answer.generation_ids)
    ]  # fmt: skip
    if connection.execute(_INSERT_ITEM, rows).rowcount != len(rows):
        raise _OneByOneError  # one of the ids is known, or the entry has ids already
    remarks = [{"entry": a.entry.entry_id, "remarks": json.dumps(a.notes)} for a in answered]
    connection.execute(ACCEPT, remarks)
    return [with_generations(each) for each in answered]


def _update(connection: Connection, changes: list[Change]) -> list[Entry]:
    ids = [each.entry.entry_id for each in changes]
    rows = {row.entry_id: row for row in connection.execute(_STATES_AND_CALLS, {"ids": ids})}
    is_plain = (
        len(set(ids)) == len(ids) == len(rows)
        and all(row.state == "accepted" and not row.has_calls for row in rows.values())
        and all(item.generation_id for each in changes for item in each.entry.items)
    )
    if not is_plain:
        raise _OneByOneError
    known = {
        (r.entry_id, r.generation_id): r.item for r in connection.execute(_ITEMS, {"ids": ids})
    }
    set_items: list[dict[str, Any]] = []
    delivered: list[dict[str, Any]] = []
    ended: dict[str, list[MediaItem]] = defaultdict(list)
    just_settled: set[str] = set()
    for change in changes:
        for item in change.entry.items:
            where = (change.entry.entry_id, item.generation_id)
            if where not in known:
                raise _OneByOneError
            before = read_item(str(item.generation_id), known[where])
            is_older = before.is_terminal and not item.is_terminal
            if is_older or (before.cost is not None and item.cost is None):
                raise _OneByOneError  # an older answer
            if item.is_terminal and item.status != "succeeded":
                raise _OneByOneError  # what a failure holds has rules of its own
            if item.is_settled and not before.is_settled:
                just_settled.add(where[0])
            row = {"entry": where[0], "generation": where[1], "content": json.dumps(item.to_dict())}
            (delivered if change.is_delivered and item.is_terminal else set_items).append(row)
            if item.is_terminal and item.cost is not None:
                ended[where[0]].append(item)
    if set_items:
        connection.execute(SET_ITEM, set_items)
    if delivered:
        connection.execute(_DELIVER_ITEM, delivered)
    if just_settled:
        written = {(c.entry.entry_id, i.generation_id) for c in changes for i in c.entry.items}
        others = ((where, known[where]) for where in known.keys() - written)
        just_settled -= {w[0] for w, text in others if not read_item(str(w[1]), text).is_settled}
        just_settled -= {c.entry.entry_id for c in changes if not c.entry.is_settled}
    reserved = _settle(connection, ids, ended, {c.entry.entry_id: c.entry.model for c in changes})
    return [
        replace(
            each.entry,
            reserved=to_usd(reserved.get(each.entry.entry_id, 0)),
            was_just_settled=each.entry.entry_id in just_settled,
        )
        for each in changes
    ]


def _settle(
    connection: Connection,
    ids: list[str],
    ended: dict[str, list[MediaItem]],
    labels: dict[str, str],
) -> dict[str, int]:
    """Replace the reservations of what has ended by its costs; return what is still reserved."""
    held = {row.entry_id: row for row in connection.execute(_HELD, {"ids": ids})}
    charge_ids = [f"{e}:{i.generation_id}" for e in ended if e in held for i in ended[e]]
    if charge_ids and connection.execute(_CHARGED, {"ids": charge_ids}).first() is not None:
        raise _OneByOneError  # a cost may have been corrected, or come after a failure
    rows, opened = [], []
    more_reserved, more_spent = Counter[str](), Counter[str]()
    reserved = {entry_id: row.unit * row.open for entry_id, row in held.items()}
    for entry_id, items in ended.items():
        if entry_id not in held:
            continue
        of = held[entry_id]
        for item in items:
            assert item.cost is not None  # noqa: S101 - only those are here
            if item.cost > accounts.MOST_USD:
                raise _OneByOneError
            amount = to_units(item.cost)
            more_spent[of.budget] += amount
            rows.append(
                {
                    "charge_id": f"{entry_id}:{item.generation_id}", "budget": of.budget,
                    "amount": amount, "label": labels[entry_id],
                }
            )  # fmt: skip
        left = max(of.open - len(items), 0)
        reserved[entry_id] = of.unit * left
        if left != of.open:
            opened.append({"entry": entry_id, "number": left})
            more_reserved[of.budget] += of.unit * (left - of.open)
    if rows:
        connection.execute(_CHARGE, rows)
    if opened:
        connection.execute(accounts.SET_OPEN, opened)
    for account in sorted({*more_reserved, *more_spent}):
        values = {"more_reserved": more_reserved[account], "more_spent": more_spent[account]}
        connection.execute(accounts.ADD, {"account": account, **values})
    return reserved


def _states(connection: Connection, ids: list[str]) -> dict[str, tuple[str, int]]:
    return {
        row.entry_id: (row.state, row.attempt) for row in connection.execute(_STATES, {"ids": ids})
    }
