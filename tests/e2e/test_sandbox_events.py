"""`GET /api/events` on the wire: at the moment of completion, once, to the owner only."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from tests.contract.test_sandbox_routes import validate
from tests.e2e.test_sandbox_faults import Wire
from tests.support.wire import ai, enqueue, fetch


class Listener:
    def __init__(self, hub: Sandbox) -> None:
        self.connection = HTTPConnection(hub.origin.removeprefix("http://"), timeout=60)
        self.connection.request(
            "GET", "/api/events", headers={"Authorization": f"Bearer {hub.api_key}"}
        )
        self.reply = self.connection.getresponse()

    def next(self, within: float = 5) -> tuple[str, Any]:
        """The next event, or `("", comment)` for a comment; raises EOFError at a clean end."""
        assert self.connection.sock is not None
        self.connection.sock.settimeout(within)
        fields = {}
        while line := self.reply.readline().decode():
            if line.startswith(":"):
                assert self.reply.readline() == b"\n"
                return "", line.rstrip("\n")
            if line == "\n":
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
        raise EOFError

    def close(self) -> None:
        self.reply.close()
        self.connection.close()


@contextmanager
def listening(hub: Sandbox) -> Iterator[Listener]:
    listener = Listener(hub)
    deadline = time.monotonic() + 60
    while not len(hub.events) and time.monotonic() < deadline:
        time.sleep(0.005)
    yield listener
    listener.close()


def test_a_completion_is_told_when_it_happens(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.settings.image_seconds = 0.15
    with listening(hub) as listener:
        assert str(listener.reply.getheader("content-type")).startswith("text/event-stream")
        started = time.monotonic()
        (job,) = enqueue(hub)
        name, data = listener.next()
        assert 0.14 <= time.monotonic() - started < 60
    assert (name, data["generation_id"], data["status"]) == (
        "media_generation_completed", job, "succeeded"
    )  # fmt: skip
    validate(data, "media.completed_event")
    assert fetch(data["url"], key=hub.api_key).status == 200
    assert data["model"] == "flux-2-dev"


def test_pushing_the_clock_wakes_the_events() -> None:
    with Sandbox(speed=0, video_seconds=600) as hub, listening(hub) as listener:
        (job,) = enqueue(hub, "google-veo-3")
        hub.clock.advance(601)
        assert listener.next()[1]["generation_id"] == job


def test_failures_are_sent_and_cancellations_are_not(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.settings.image_seconds = 60
    with listening(hub) as listener:
        (canceled,) = enqueue(hub)
        ai(hub, "DELETE", f"/queue/{canceled}")
        hub.settings.image_seconds = 0.1
        (failed,) = enqueue(hub, output_format="gif")
        _, data = listener.next()
    assert (data["generation_id"], data["status"]) == (failed, "failed")
    assert "output_format" in data["error"]
    validate(data, "media.completed_event")


def test_nothing_is_replayed_and_nothing_is_told_to_others(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    enqueue(hub)
    time.sleep(0.2)
    other = hub.add_account("neighbour")
    with listening(hub) as listener:
        body = {"model": "flux-2-dev", "prompt": "theirs"}
        assert fetch(f"{hub.base_url}/queue", "POST", body, other).status == 200
        with pytest.raises(TimeoutError):
            listener.next(within=0.4)


def test_comments_keep_it_alive_and_other_events_share_it(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.settings.keepalive_seconds = 0.05
    with listening(hub) as listener:
        assert listener.next() == ("", ": keep-alive")
        hub.events.publish("workspace_updated", {"id": 1})
        seen = [listener.next() for _ in range(2)]
    assert ("workspace_updated", {"id": 1}) in seen


def test_an_event_can_get_lost(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.inject(Fault("lose_event"))
    with listening(hub) as listener:
        lost = enqueue(hub)[0]
        while ai(hub, "GET", f"/queue/{lost}").json["status"] != "succeeded":
            time.sleep(0.01)
        job = enqueue(hub)[0]
        assert listener.next()[1]["generation_id"] == job


def test_a_connection_can_drop(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.inject(Fault("cut_stream", path="/api/events", after_chunks=1))
    with listening(hub) as listener:
        enqueue(hub, num_generations=2)
        assert listener.next()[0] == "media_generation_completed"
        with pytest.raises(EOFError):
            listener.next()
    with listening(hub) as listener:
        hub.events.drop()
        with pytest.raises(EOFError):
            listener.next()
    hub.inject(Fault("reset_stream", path="/api/events"))
    wire = Wire(hub, "/api/events")
    with pytest.raises(ConnectionResetError):
        wire.read()
    wire.close()


def test_a_listener_that_leaves_is_forgotten(oxen_sandbox: Sandbox) -> None:
    with listening(oxen_sandbox):
        assert len(oxen_sandbox.events) == 1
    deadline = time.monotonic() + 60
    while len(oxen_sandbox.events) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(oxen_sandbox.events) == 0


def test_many_listeners_get_the_events_of_many_jobs(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    received: queue.Queue[str] = queue.Queue()

    def listen(listener: Listener) -> None:
        for _ in range(20):
            received.put(listener.next()[1]["generation_id"])

    listeners = [Listener(hub) for _ in range(5)]
    while len(hub.events) < 5:
        time.sleep(0.005)
    threads = [threading.Thread(target=listen, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    jobs = [job for _ in range(5) for job in enqueue(hub, num_generations=4)]
    for thread in threads:
        thread.join(10)
    for listener in listeners:
        listener.close()
    assert sorted(received.queue) == sorted(jobs * 5)
