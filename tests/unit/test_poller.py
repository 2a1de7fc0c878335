"""One round of asking for any number of jobs, driven by hand: no clock, no socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from oxen_inference.effects import Send
from oxen_inference.errors import (
    APIConnectionError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from oxen_inference.media import background, status_requests
from oxen_inference.media.pace import Pace
from oxen_inference.media.polled_jobs import Subscription
from oxen_inference.media.poller import Poller
from oxen_inference.paths import CURRENT
from oxen_inference.transport import Call


class Hub:
    """Answers the calls of a round from a table of statuses."""

    def __init__(self, *ids: str) -> None:
        self.status = dict.fromkeys(ids, "processing")
        self.hidden: set[str] = set()
        self.list_limit: int | None = None
        self.fail: Callable[[str], Exception | None] = lambda _path: None
        self.paths: list[str] = []

    def answer(self, call: Call[Any]) -> Any:
        self.paths.append(call.path)
        error = self.fail(call.path)
        if error is not None:
            raise error
        rows = [
            {"generation_id": one, "status": status, "cost": "0.1"}
            for one, status in self.status.items()
            if one not in self.hidden
        ]
        if call.path == "/queue":
            wanted = (call.query or {}).get("status")
            shown = (wanted,) if wanted else ("queued", "processing")
            active = [row for row in rows if row["status"] in shown]
            return call.read({"generations": active[: self.list_limit]})
        if call.path == "/generations":
            size, page = call.query["page_size"], call.query["page"]
            shown = rows[(page - 1) * size : page * size]
            pages = max(1, -(-len(rows) // size))
            return call.read({"generations": shown, "page_number": page, "total_pages": pages})
        one = call.path.rpartition("/")[2]
        found = next((row for row in rows if row["generation_id"] == one), None)
        if found is None:
            raise NotFoundError("gone")
        return call.read(found)

    def round(self, poller: Poller, *, all_due: bool = True) -> int:
        """Run one round; return how many requests it took."""
        before = len(self.paths)
        if all_due:
            poller.poll_all_now()
            poller._not_before = 0.0  # no rest is left
        work = poller.round()
        try:
            operation = work.send(None)
            while True:
                assert isinstance(operation, Send)
                try:
                    answer = self.answer(operation.call)
                except Exception as error:  # noqa: BLE001 - raised where it was awaited
                    operation = work.throw(error)
                else:
                    operation = work.send(answer)
        except StopIteration:
            return len(self.paths) - before


def polling(ids: list[str], **pace: Any) -> tuple[Poller, Subscription]:
    settings = Pace(**pace)
    poller = Poller(CURRENT, lambda: settings)
    subscription = poller.subscribe(
        threading.Event(), ids, media_type="image", model="m", namespace=None
    )
    return poller, subscription


def test_requests_do_not_grow_with_the_jobs() -> None:
    for count in (10, 1000):
        ids = [f"g{number}" for number in range(count)]
        hub, (poller, subscription) = Hub(*ids), polling(ids)
        assert hub.round(poller) == 1
        hub.status["g3"] = "succeeded"
        assert hub.round(poller) == 2
        assert subscription.rows["g3"].status == "succeeded"
        hub.status = dict.fromkeys(ids, "succeeded")
        assert hub.round(poller) == 2  # the list, and all that ended in one page
        assert subscription.is_done
        assert len(poller) == 0


def test_one_job_takes_one_request() -> None:
    hub, (poller, subscription) = Hub("a"), polling(["a"])
    assert hub.round(poller) == 1
    hub.status["a"] = "failed"
    assert hub.round(poller) == 1
    assert subscription.is_done


def test_an_event_is_only_a_hint() -> None:
    ids = [f"g{number}" for number in range(50)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.round(poller)
    assert poller.hint("g1")
    assert not poller.hint("somebody else's")
    hub.round(poller, all_due=False)
    assert hub.paths[1:] == ["/generations/g1"]
    assert not subscription.rows["g1"].is_terminal


def test_a_list_that_is_cut_short_fails_nobody() -> None:
    ids = [f"g{number}" for number in range(100)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.list_limit = 10
    assert hub.round(poller) == 2
    assert len(subscription.rows) == 100
    assert not any(row.is_terminal for row in subscription.rows.values())


def test_rows_that_vanish_are_waited_for() -> None:
    hub, (poller, subscription) = Hub("a", "b", "c"), polling(["a", "b", "c"])
    hub.hidden = {"a"}
    for _ in range(8):
        hub.round(poller)
    assert subscription.pending == {"a", "b", "c"}
    assert "a" in (subscription.warning or "")
    assert "does not list it now" in (subscription.warning or "")
    hub.hidden, hub.status["a"] = set(), "succeeded"
    hub.round(poller)
    assert subscription.pending == {"b", "c"}


def test_unknown_statuses_are_not_the_end() -> None:
    hub, (poller, subscription) = Hub("a"), polling(["a"])
    hub.status["a"] = "reticulating"
    hub.round(poller)
    assert not subscription.is_done


def slow_down(retry_after: str) -> Callable[[str], Exception]:
    class Response:
        status_code, headers, request = 429, {"retry-after": retry_after}, None

    return lambda _: RateLimitError("slow down", response=Response())


@pytest.mark.parametrize("asked", ["inf", "nan", "1e10", "-5", "soon"])
def test_a_wait_that_is_none_is_not_obeyed(asked: str) -> None:
    hub, (poller, _) = Hub("a"), polling(["a"])
    hub.fail = slow_down(asked)
    hub.round(poller)
    assert 0 < (poller.seconds_to_next() or 0) <= 5


def test_a_bug_delays_like_any_trouble() -> None:
    hub, (poller, subscription) = Hub("a"), polling(["a"])
    hub.fail = lambda _: ZeroDivisionError("a bug")
    hub.round(poller)
    assert "a bug" in (subscription.warning or "")
    hub.fail, hub.status["a"] = (lambda _: None), "succeeded"
    hub.round(poller)
    assert subscription.is_done


def test_an_event_is_followed_once_while_polling_rests() -> None:
    hub, (poller, subscription) = Hub("a", "b"), polling(["a", "b"], gap=0)
    hub.fail = slow_down("20")
    hub.round(poller)
    poller.hint("a")
    assert poller.seconds_to_next() == 0
    hub.paths.clear()
    hub.round(poller, all_due=False)  # refused again: now events rest, too
    assert hub.paths == ["/generations/a"]
    poller.hint("a")
    assert 19 < (poller.seconds_to_next() or 0) <= 20

    hub, (poller, subscription) = Hub("a", "b"), polling(["a", "b"], gap=0)
    hub.fail = slow_down("20")
    hub.round(poller)
    hub.fail, hub.status["a"] = (lambda _: None), "succeeded"
    poller.hint("a")
    hub.round(poller, all_due=False)
    assert subscription.rows["a"].status == "succeeded"
    assert 19 < (poller.seconds_to_next() or 0) <= 20  # b: as Oxen asked


def test_earlier_trouble_is_not_a_new_waiter_s() -> None:
    hub, (poller, subscription) = Hub("a"), polling(["a"])
    hub.fail = lambda _: APIConnectionError("broken")
    for _ in range(8):
        hub.round(poller)
    assert 12 < (poller.seconds_to_next() or 0) <= 15
    poller.unsubscribe(subscription)
    poller.subscribe(threading.Event(), ["b"], media_type="image", model="m", namespace=None)
    assert (poller.seconds_to_next() or 0) < 3


def test_errors_delay_and_obey_the_hub() -> None:
    hub, (poller, subscription) = Hub("a"), polling(["a"])
    hub.fail = slow_down("30")
    hub.round(poller)
    assert 29 < (poller.seconds_to_next() or 0) <= 30
    hub, (poller, subscription) = Hub("a"), polling(["a"], longest_backoff=5)
    hub.fail = slow_down("300")
    hub.round(poller)
    assert 4 < (poller.seconds_to_next() or 0) <= 5
    hub.fail = lambda _: APIConnectionError("broken")
    for _ in range(10):
        hub.round(poller)
    assert 3 < (poller.seconds_to_next() or 0) <= 6
    assert "broken" in (subscription.warning or "")
    assert not subscription.is_done


def test_a_hub_without_the_history_lists_what_ended_by_status() -> None:
    ids = [f"g{number}" for number in range(20)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.fail = lambda path: NotFoundError("no route") if "/generations" in path else None
    hub.status = dict.fromkeys(ids, "succeeded") | {"g3": "failed"}
    assert hub.round(poller) == 5  # the list, no history, three statuses
    assert subscription.is_done


def test_what_no_list_names_is_asked_for_in_turns_a_few_a_round() -> None:
    ids = [f"g{number}" for number in range(20)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.status = dict.fromkeys(ids, "succeeded")
    hub.fail = lambda path: NotFoundError("no") if path == "/generations" else None
    hub.list_limit = 0
    rounds = 0
    while not subscription.is_done:
        assert hub.round(poller) <= 10
        rounds += 1
    assert rounds == 5


def broken(status: int = 500) -> Exception:
    return InternalServerError(f"broken with {status}", status_code=status)


def test_the_trouble_of_one_job_is_not_the_other_s() -> None:
    hub, (poller, first) = Hub("a", "b"), polling(["a"])
    second = poller.subscribe(
        threading.Event(), ["b"], media_type="image", model="m", namespace=None
    )
    hub.fail = lambda path: broken() if path.endswith("/a") else None
    for _ in range(4):
        hub.round(poller)
    assert "Asking for a failed (broken with 500)" in (first.warning or "")
    assert (first.fatal_error, second.warning) == (None, None)
    assert second.rows["b"].status == "processing"


def test_a_list_that_is_asked_for_too_often_is_not_made_up_for_by_more_requests() -> None:
    ids = [f"g{number}" for number in range(20)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.fail = slow_down("30")
    assert hub.round(poller) == 1
    assert 29 < (poller.seconds_to_next() or 0) <= 30
    assert "slow down" in (subscription.warning or "")


def test_a_list_that_stays_broken_is_told_once() -> None:
    ids = [f"g{number}" for number in range(6)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    errors = iter([broken(500), broken(502)])
    hub.fail = lambda path: next(errors) if path == "/queue" else None
    hub.round(poller)
    assert "each is asked for in turn" in (subscription.warning or "")
    subscription.warning = None
    hub.round(poller)
    assert subscription.warning is None


def test_many_that_ended_are_looked_up_in_a_few_pages_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_requests, "MOST_ROWS", 2)
    ids = [f"g{number}" for number in range(20)]
    hub, (poller, subscription) = Hub(*ids), polling(ids)
    hub.status = dict.fromkeys(ids, "succeeded")
    assert hub.round(poller) == 9  # the list, four pages of it, and four by themselves
    assert len(subscription.pending) == 8


def test_another_job_s_row_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, (poller, subscription) = Hub("a", "b"), polling(["a"])
    hub.status["b"] = "succeeded"
    answer = hub.answer

    def mixed_up(call: Call[Any]) -> Any:
        row = {"generation_id": "b", "status": "succeeded"}
        return call.read(row) if call.path == "/queue/a" else answer(call)

    monkeypatch.setattr(hub, "answer", mixed_up)
    hub.round(poller)
    assert subscription.rows["a"].status == "processing"
    assert list(subscription.rows) == ["a"]


def test_what_comes_due_as_the_rest_begins_is_not_slept_through() -> None:
    poller, _ = polling(["a"], gap=0)

    class Wake:
        def clear(self) -> None:
            poller.poll_all_now()

    assert isinstance(poller.loop(Wake(), lambda _: None).send(None), Send)


def test_a_stream_that_lasted_is_opened_again_soon_and_every_job_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    backoff = background.ReconnectBackoff()
    pauses = []
    for seconds in (1.0, 1.0, 1.0, 60.0, 1.0):
        missed = backoff.opened()
        now += seconds
        pauses.append((missed, backoff.pause()))
    assert pauses == [(True, 0.5), (False, 1.0), (False, 2.0), (False, 0.5), (True, 1.0)]


def test_each_namespace_is_asked_for() -> None:
    hub, (poller, _) = Hub("a", "b", "c", "d", "e", "f"), polling(["a", "b", "c"])
    poller.subscribe(
        threading.Event(), ["d", "e", "f"], media_type="image", model="m", namespace="org"
    )
    assert hub.round(poller) == 2


def test_waiters_share_a_job_and_leave_it() -> None:
    hub, (poller, first) = Hub("a"), polling(["a"])
    hub.round(poller)
    second = poller.subscribe(
        threading.Event(), ["a"], media_type="image", model="m", namespace=None
    )
    assert second.rows["a"].status == "processing"  # told what is known already
    poller.unsubscribe(first)
    assert len(poller) == 1
    poller.unsubscribe(second)
    assert len(poller) == 0
    assert poller.seconds_to_next() is None


@pytest.mark.parametrize("ids", [["a"], ["a", "b", "c"]])
def test_who_comes_back_while_a_question_is_on_its_way_hears_the_answer(ids: list[str]) -> None:
    hub, (poller, before) = Hub(*ids), polling(ids)
    back: list[Subscription] = []

    def leave_and_come_back(_path: str) -> None:
        if not back:
            poller.unsubscribe(before)
            again = threading.Event()
            back.append(poller.subscribe(again, ids, media_type="image", model="m", namespace=None))
            hub.status = dict.fromkeys(ids, "succeeded")

    hub.fail = leave_and_come_back
    hub.round(poller)
    (after,) = back
    assert after.is_done
    assert len(poller) == 0
    assert not before.rows


def test_intervals_suit_the_media_and_the_age() -> None:
    pace = Pace()
    assert pace.interval("image", 0) == 2
    assert pace.interval("image", 1e6) == 5
    assert pace.interval("video", 0) == 10
    assert pace.interval("video", 1e6) == 30
