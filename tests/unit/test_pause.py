"""The pause that all senders of a run take together."""

from __future__ import annotations

import time
from typing import Any

import pytest

from oxen_inference import OxenClient
from oxen_inference.drivers import BlockingDriver
from oxen_inference.effects import StopRequest
from oxen_inference.errors import RateLimitError
from oxen_inference.media.pause import RunStopped, SharedPause


class Answer:
    """All that is read of an answer with status 429."""

    status_code = 429
    request = None

    def __init__(self, retry_after: str | None) -> None:
        self.headers = {} if retry_after is None else {"retry-after": retry_after}


def refusal(retry_after: str | None) -> RateLimitError:
    answer: Any = Answer(retry_after)
    return RateLimitError("Slow down.", response=answer)


def wait(pause: SharedPause, deadline: float | None) -> bool:
    driver = BlockingDriver(OxenClient(api_key="k"))
    return driver.run(pause.wait(StopRequest(), deadline))


@pytest.mark.parametrize("retry_after", [None, "0", "0.001", "3"])
def test_one_round_of_refusals_is_one_pause(retry_after: str | None) -> None:
    pause = SharedPause()
    for _ in range(16):
        assert pause.refused(refusal(retry_after), 120.0) > 0
    assert pause.left > 0
    assert not pause.is_hopeless


def test_pauses_that_do_not_help_are_given_up() -> None:
    pause = SharedPause()
    for _ in range(11):
        pause.refused(refusal("0"), 0.0)  # it is over at once
    assert pause.is_hopeless
    pause.accepted()
    assert not pause.is_hopeless


def test_nobody_pauses_longer_than_is_waited_for() -> None:
    pause = SharedPause()
    assert pause.refused(refusal("7200"), 120.0) == 7200
    assert 60 < pause.left <= 120


def test_a_pause_is_not_waited_for_beyond_the_deadline() -> None:
    pause = SharedPause()
    assert wait(pause, time.monotonic() - 1)  # there is none
    pause.refused(refusal("60"), 120.0)
    assert not wait(pause, time.monotonic() + 0.02)
    assert pause.left > 30


def test_a_run_that_has_stopped_sends_nothing_more() -> None:
    pause = SharedPause()
    pause.refused(refusal("60"), 120.0)
    pause.end()
    with pytest.raises(RunStopped):
        wait(pause, None)
