"""Writes of many requests at one moment: the same as one by one, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from oxen_inference import Budget, Ledger
from oxen_inference.errors import BudgetExceededError, InvalidInputError
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.groups import Acceptance, Beginning, Change, GroupedWrites
from oxen_inference.ledger.store import Begun
from oxen_inference.result import MediaItem

SCOPE = Scope("https://hub", "me")


def beginning(ledger: Ledger, budget: Budget | None, key: str | None, **changes: Any) -> Beginning:
    fields = {
        "scope": SCOPE, "key": key, "fingerprint": f"f {key}", "kind": "queue", "model": "m",
        "media_type": "image", "request": {"model": "m", "prompt": f"ox {key}"},
        "defaults": {"seed": None}, "quoted": Decimal("0.10"), "caller_fingerprint": f"c {key}",
    }  # fmt: skip
    intent = Intent(**{**fields, **changes})
    if budget is None:
        return Beginning(intent, lambda: None)
    return Beginning(intent, partial(budget.reservation, ledger, Decimal("0.10"), intent.count))


def begun(results: Any) -> list[Entry]:
    assert all(isinstance(each, Begun) and each.is_mine for each in results), results
    return [each.entry for each in results]


def answers(entries: list[Entry]) -> list[Acceptance]:
    return [Acceptance(e, tuple(f"{e.key}-{n}" for n in range(e.count)), ()) for e in entries]


def ended(entry: Entry, cost: str | None = "0.04") -> Change:
    known = None if cost is None else Decimal(cost)
    items = (replace(item, status="succeeded", cost=known) for item in entry.items)
    return Change(replace(entry, items=tuple(items)), is_delivered=True)


def test_a_group_is_written_as_each_alone_would_be(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("9", name="b", ledger=ledger)

    def life(keys: list[str], begin: Any, accept: Any, update: Any) -> list[Entry]:
        """Begin, send and end requests."""
        new = begun(begin([beginning(ledger, budget, key, count=2) for key in keys]))
        assert [entry.reserved for entry in new] == [Decimal("0.20")] * len(keys)
        assert all(ledger.get(entry.entry_id) == entry for entry in new)
        assert all(ledger.mark_posting(entry) for entry in new)
        done = update([ended(entry) for entry in accept(answers(new))])
        assert all(entry.is_settled and entry.reserved == 0 for entry in done)
        return [entry for entry in (ledger.get(each.entry_id) for each in new) if entry]

    def begin(each: Beginning) -> Any:
        return ledger.begin(each.intent, each.reservation())

    def accept(each: Acceptance) -> Any:
        assert ledger.mark_accepted(each.entry, each.generation_ids, each.notes)
        return ledger.get(each.entry.entry_id)

    def update(each: Change) -> Any:
        return ledger.update(each.entry, each.entry.items, is_delivered=each.is_delivered)

    def each_by(write: Any) -> Any:
        return lambda wanted: [write(one) for one in wanted]

    def in_ones(write: Any) -> Any:
        return lambda wanted: [result for one in wanted for result in write([one])]

    by_ledger = life(["1", "2", "3"], *map(each_by, (begin, accept, update)))
    alone = life(["4", "5", "6"], *map(in_ones, (writes.begin, writes.accept, writes.update)))
    together = life(["7", "8", "9"], writes.begin, writes.accept, writes.update)
    for one, other in [*zip(by_ledger, alone, strict=True), *zip(by_ledger, together, strict=True)]:
        assert other.items == tuple(
            replace(item, generation_id=f"{other.key}-{n}") for n, item in enumerate(one.items)
        )
        assert (one.state, one.notes, one.error) == (other.state, other.notes, other.error)
    assert (budget.spent, budget.reserved) == (Decimal("0.72"), 0)


def test_begin_in_a_group_refuses_only_what_does_not_fit(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("0.25", name="b", ledger=ledger)

    results = writes.begin([beginning(ledger, budget, key) for key in "abc"])

    assert [type(each) for each in results] == [Begun, Begun, BudgetExceededError]
    assert budget.reserved == Decimal("0.20")
    assert [entry.key for entry in ledger.entries()] == ["b", "a"]


def test_begin_in_a_group_joins_what_a_key_stands_for(ledger: Ledger) -> None:
    writes = GroupedWrites(ledger)
    known = begun(writes.begin([beginning(ledger, None, "a")]))[0]

    results: list[Any] = list(writes.begin([beginning(ledger, None, key) for key in "abb"]))

    assert [each.is_mine for each in results] == [False, True, False]
    assert results[0].entry == known
    assert results[1].entry.entry_id == results[2].entry.entry_id
    assert len(ledger.entries()) == 2


def test_requests_without_keys_are_each_begun(ledger: Ledger) -> None:
    new = begun(GroupedWrites(ledger).begin([beginning(ledger, None, None)] * 2))

    assert len({entry.entry_id for entry in new}) == len(ledger.entries()) == 2


def test_a_text_that_cannot_be_held_fails_alone(ledger: Ledger) -> None:
    bad = beginning(ledger, None, "b", model="half \ud800 a character")

    results = GroupedWrites(ledger).begin([beginning(ledger, None, "a"), bad])

    assert [type(each) for each in results] == [Begun, InvalidInputError]


def test_find_in_a_group(ledger: Ledger) -> None:
    writes = GroupedWrites(ledger)
    known = begun(writes.begin([beginning(ledger, None, key) for key in "ab"]))

    assert writes.find([(SCOPE, key) for key in "bxa"]) == [known[1], None, known[0]]
    assert writes.find([(SCOPE, "a"), (Scope("https://hub", "you"), "a")]) == [known[0], None]


def test_accept_in_a_group_refuses_the_ids_of_others(ledger: Ledger) -> None:
    writes = GroupedWrites(ledger)
    new = begun(writes.begin([beginning(ledger, None, key) for key in "abc"]))
    assert all(ledger.mark_posting(entry) for entry in new)
    writes.accept([Acceptance(new[0], ("g1",), ())])

    results: list[Any] = list(
        writes.accept([Acceptance(new[1], ("g1",), ()), Acceptance(new[2], ("g2",), ("odd",))])
    )

    assert results[0] is None
    assert (results[1].generation_ids, results[1].notes) == (("g2",), ("odd",))
    states = {entry.key: entry.state for entry in ledger.entries()}
    assert states == {"a": "accepted", "b": "posting", "c": "accepted"}


def test_fewer_ids_than_requested_keep_their_money_reserved(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("9", name="b", ledger=ledger)
    new = begun(writes.begin([beginning(ledger, budget, key, count=2) for key in "ab"]))
    assert all(ledger.mark_posting(entry) for entry in new)

    taken: list[Any] = list(
        writes.accept([Acceptance(entry, (f"{entry.key}1",), ()) for entry in new])
    )
    writes.update([ended(entry) for entry in taken])

    assert (budget.spent, budget.reserved) == (Decimal("0.08"), Decimal("0.20"))


def test_a_cost_that_is_written_twice_is_charged_once(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("9", name="b", ledger=ledger)
    new = begun(writes.begin([beginning(ledger, budget, key) for key in "abc"]))
    assert all(ledger.mark_posting(entry) for entry in new)
    taken: list[Any] = list(writes.accept(answers(new)))

    writes.update([ended(taken[0], None), ended(taken[1]), ended(taken[2])])
    assert (budget.spent, budget.reserved) == (Decimal("0.08"), Decimal("0.10"))
    writes.update([ended(entry) for entry in taken])
    writes.update([ended(taken[0]), ended(taken[1], "0.05")])  # the hub corrected it

    assert (budget.spent, budget.reserved) == (Decimal("0.13"), 0)


def test_a_failure_without_a_bill_keeps_its_money_reserved(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("9", name="b", ledger=ledger)
    new = begun(writes.begin([beginning(ledger, budget, key) for key in "ab"]))
    assert all(ledger.mark_posting(entry) for entry in new)
    taken: list[Any] = list(writes.accept(answers(new)))
    lost = replace(taken[0], items=(replace(taken[0].items[0], status="failed"),))

    writes.update([Change(lost), ended(taken[1])])
    assert (budget.spent, budget.reserved) == (Decimal("0.04"), Decimal("0.10"))
    billed = replace(lost, items=(replace(lost.items[0], cost=Decimal("0.03")),))
    writes.update([Change(billed), ended(taken[1])])

    assert (budget.spent, budget.reserved) == (Decimal("0.07"), 0)


def test_an_older_answer_does_not_undo_an_end(ledger: Ledger) -> None:
    writes = GroupedWrites(ledger)
    new = begun(writes.begin([beginning(ledger, None, key) for key in "ab"]))
    assert all(ledger.mark_posting(entry) for entry in new)
    taken: list[Any] = list(writes.accept(answers(new)))
    writes.update([ended(entry) for entry in taken])

    writes.update([Change(entry) for entry in taken])

    assert all(entry.is_settled for entry in ledger.entries())


def test_an_acceptance_that_could_not_be_written_is_written_later(ledger: Ledger) -> None:
    writes, budget = GroupedWrites(ledger), Budget("9", name="b", ledger=ledger)
    new = begun(writes.begin([beginning(ledger, budget, key) for key in "ab"]))
    assert all(ledger.mark_posting(entry) for entry in new)
    in_hand = [
        replace(e, state="accepted", items=(MediaItem(generation_id=f"{e.key}1"),)) for e in new
    ]

    writes.update([ended(entry) for entry in in_hand])

    assert all(entry.state == "accepted" and entry.is_settled for entry in ledger.entries())
    assert (budget.spent, budget.reserved) == (Decimal("0.08"), 0)


def test_the_beginning_of_keys_is_looked_for_as_it_is(ledger: Ledger) -> None:
    begun(GroupedWrites(ledger).begin([beginning(ledger, None, "a_b:1")]))

    assert ledger.has_keys(SCOPE, "a_b:")
    assert not any(ledger.has_keys(SCOPE, other) for other in ("a%", "axb:", "b:", "a_b:2"))
    assert not ledger.has_keys(Scope("https://hub", "another"), "a_b:")
