"""Faults do on the wire what they say: seen through raw sockets, without any HTTP client."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from tests.support.wire import Answer, ai, call, enqueue, fetch

IMAGE = {"model": "flux-2-dev", "prompt": "an ox"}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me about oxen."}]}
TOOLS = {
    "model": "gpt-4o",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "What is the weather in Paris and in Rome?"}],
    "tools": [{
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the current weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }],
}  # fmt: skip


class Wire:
    """One connection: a request as bytes, the answer as bytes."""

    def __init__(self, hub: Sandbox, path: str = "/api/ai/queue", body: Any = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(hub.origin.rpartition(":")[2])))
        self.socket.settimeout(10)
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: hub\r\n"
            f"Authorization: Bearer {hub.api_key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + content)

    def read(self) -> bytes:
        """Everything until the peer says goodbye; raises ConnectionResetError on a reset."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def until(self, text: bytes) -> bytes:
        """Everything up to `text`."""
        content = b""
        while text not in content:
            part = self.socket.recv(65536)
            assert part, content
            content += part
        return content

    def close(self) -> None:
        self.socket.close()


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_a_reset_is_a_reset(oxen_sandbox: Sandbox, when: Any, accepted: int) -> None:
    oxen_sandbox.inject(Fault("reset", when=when, path="*/queue", method="POST"))
    wire = Wire(oxen_sandbox, body=IMAGE)
    with pytest.raises(ConnectionResetError):
        wire.read()
    wire.close()
    assert len(oxen_sandbox.jobs) == accepted
    assert enqueue(oxen_sandbox)  # once only


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_a_hang_says_nothing(oxen_sandbox: Sandbox, when: Any, accepted: int) -> None:
    oxen_sandbox.inject(Fault("hang", when=when))
    wire = Wire(oxen_sandbox, body=IMAGE)
    wire.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        wire.read()
    wire.close()
    assert len(oxen_sandbox.jobs) == accepted


def test_a_hang_may_end_in_a_goodbye(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("hang", seconds=0.1))
    wire = Wire(oxen_sandbox, body=IMAGE)
    assert wire.read() == b""
    wire.close()


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        ({"status": 503, "message": "Busy", "type": "unknown_error"}, 503, "application/json",
         {"error": {"type": "unknown_error", "title": "The request failed.", "detail": "Busy"},
          "status": "error", "status_message": "unknown_error"}),
        ({"status": 500, "message": "Busy", "shape": "openai"}, 500, "application/json",
         {"error": {"message": "Busy"}}),
        ({"status": 401, "message": "unauthenticated", "shape": "status"}, 401, "application/json",
         {"status": "error", "status_message": "unauthenticated"}),
        ({"status": 502, "message": "Bad gateway", "shape": "text"}, 502, "text/plain; charset=utf-8",
         "Bad gateway"),
        ({"status": 200, "body": "<html>Oops</html>", "content_type": "text/html"}, 200,
         "text/html; charset=utf-8", "<html>Oops</html>"),
        ({"status": 200, "body": ""}, 200, "text/plain; charset=utf-8", ""),
        ({"status": 200, "body": {"generations": [{}]}}, 200, "application/json",
         {"generations": [{}]}),
        ({"status": 200, "body": {"generations": [], "error": "quota"}}, 200, "application/json",
         {"generations": [], "error": "quota"}),
        ({"status": 200, "body": '{"generations": [{"gener', "content_type": "application/json"},
         200, "application/json", '{"generations": [{"gener'),
    ],
)  # fmt: skip
def test_another_answer(
    oxen_sandbox: Sandbox,
    when: Any,
    accepted: int,
    fault: Any,
    status: int,
    content_type: str,
    body: Any,
) -> None:
    oxen_sandbox.inject(Fault("respond", when=when, path="*/queue", **fault))
    answer = ai(oxen_sandbox, "POST", "/queue", IMAGE)
    assert (answer.status, answer.headers["content-type"]) == (status, content_type)
    assert (answer.content.decode() if isinstance(body, str) else answer.json) == body
    assert len(oxen_sandbox.jobs) == accepted


def test_retry_after(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(
        Fault("respond", status=429, retry_after=2, headers=(("x-ratelimit-remaining", "0"),)),
        Fault("respond", status=503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
    )
    first, second = ai(oxen_sandbox, "GET", "/models"), ai(oxen_sandbox, "GET", "/models")
    assert (first.status, first.headers["retry-after"]) == (429, "2")
    assert first.headers["x-ratelimit-remaining"] == "0"
    assert (second.status, second.headers["retry-after"][:3]) == (503, "Wed")


def statuses(hub: Sandbox, count: int, path: str = "/models", method: str = "GET") -> list[int]:
    return [ai(hub, method, path).status for _ in range(count)]


def test_how_often(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.inject(Fault("respond", skip=1, times=2))
    assert statuses(hub, 4) == [200, 500, 500, 200]
    hub.faults.clear()
    hub.inject(Fault("respond", times=None))
    assert statuses(hub, 3) == [500] * 3
    hub.faults.clear()
    hub.inject(Fault("respond", times=None, probability=0.5, seed=3))
    first = statuses(hub, 20)
    hub.faults.clear()
    hub.inject(Fault("respond", times=None, probability=0.5, seed=3))
    assert statuses(hub, 20) == first
    assert set(first) == {200, 500}


def test_which_requests(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("respond", method="GET", path="*/models/*", times=None))
    assert statuses(oxen_sandbox, 1, "/models") == [200]
    assert statuses(oxen_sandbox, 1, "/models/flux-2-dev") == [500]
    assert statuses(oxen_sandbox, 1, "/models/flux-2-dev/favorite", "POST") == [200]


def test_slow_answers(oxen_sandbox: Sandbox) -> None:
    for fault in (Fault("delay", seconds=0.2), Fault("delay", when="after", seconds=0.2)):
        oxen_sandbox.inject(fault)
        started = time.monotonic()
        assert enqueue(oxen_sandbox)
        assert time.monotonic() - started >= 0.2


def test_a_file_cut_short(oxen_sandbox: Sandbox) -> None:
    (job,) = enqueue(oxen_sandbox)
    oxen_sandbox.clock.advance(1)
    url = ai(oxen_sandbox, "GET", f"/queue/{job}").json["result_url"]
    oxen_sandbox.inject(Fault("truncate", path="/api/repos/*", after_bytes=100))
    wire = Wire(oxen_sandbox, url.removeprefix(oxen_sandbox.origin))
    head, _, body = wire.read().partition(b"\r\n\r\n")
    wire.close()
    (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    assert len(body) == 100 < int(length.split(b":")[1])
    assert fetch(url, key=oxen_sandbox.api_key).status == 200


def test_a_stream_cut_short_in_the_middle_of_an_event(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("truncate", path="*/chat/completions", after_bytes=300))
    wire = Wire(oxen_sandbox, "/api/ai/chat/completions", {**CHAT, "stream": True})
    head, _, body = wire.read().partition(b"\r\n\r\n")
    wire.close()
    assert b" 200 " in head
    sent = b"".join(body.split(b"\r\n")[1::2])  # sizes in between
    assert len(sent) == 300
    assert sent.startswith(b"data: {")
    assert not body.endswith(b"0\r\n\r\n")


def chat_stream(hub: Sandbox, *faults: Fault, body: Any = None) -> Answer:
    hub.faults.clear()
    hub.inject(*faults)
    return ai(hub, "POST", "/chat/completions", body or {**CHAT, "stream": True})


def test_a_stream_cut_off_cleanly(oxen_sandbox: Sandbox) -> None:
    whole = chat_stream(oxen_sandbox).chunks
    cut = chat_stream(oxen_sandbox, Fault("cut_stream", after_chunks=2)).chunks
    assert len(cut) == 2 < len(whole)
    assert not any(choice["finish_reason"] for chunk in cut for choice in chunk["choices"])


def test_a_stream_cut_off_by_a_reset(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("reset_stream", after_chunks=3))
    wire = Wire(oxen_sandbox, "/api/ai/chat/completions", {**CHAT, "stream": True})
    seen = b""
    with pytest.raises(ConnectionResetError):
        while True:
            seen += wire.socket.recv(65536)
    wire.close()
    assert seen.count(b"data: ") == 3
    assert b"[DONE]" not in seen


def test_an_error_inside_a_stream(oxen_sandbox: Sandbox) -> None:
    fault = Fault("error_in_stream", after_chunks=1, message="Overloaded", status=529)
    answer = chat_stream(oxen_sandbox, fault)
    assert answer.status == 200
    assert answer.chunks[-1]["error"] == {"message": "Overloaded", "type": None, "code": 529}
    assert len(answer.chunks) == 2
    own = {"error": "no room", "detail": [7]}
    assert chat_stream(oxen_sandbox, Fault("error_in_stream", body=own)).chunks == [own]


def test_slow_tokens_arrive_one_by_one(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("slow_stream", seconds=0.05), Fault("cut_stream", after_chunks=4))
    wire = Wire(oxen_sandbox, "/api/ai/chat/completions", {**CHAT, "stream": True})
    arrivals = []
    content = b""
    while b"\r\n0\r\n\r\n" not in content:
        part = wire.socket.recv(65536)
        content += part
        if b"data:" in part:
            arrivals.append(time.monotonic())
    wire.close()
    assert len(arrivals) == 4
    assert arrivals[-1] - arrivals[0] >= 0.14


def parts(answer: Answer) -> Iterator[dict[str, Any]]:
    for chunk in answer.chunks:
        if chunk != "[DONE]":
            for choice in chunk["choices"]:
                yield from choice["delta"].get("tool_calls") or []


TWO_CALLS = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]


def two_calls(hub: Sandbox, *faults: Fault) -> Answer:
    hub.reply(tool_calls=TWO_CALLS)
    return chat_stream(hub, *faults, body=TOOLS)


def odd(hub: Sandbox, *styles: str) -> Answer:
    return two_calls(hub, Fault("odd_stream", style=styles))


def arguments(answer: Answer) -> str:
    return "".join(part["function"].get("arguments") or "" for part in parts(answer))


def test_odd_tool_calls(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    usual = two_calls(hub)
    calls = [part for part in parts(usual) if part.get("id")]
    assert len(calls) == 2
    assert len(list(parts(usual))) > 2

    whole = odd(hub, "calls_in_one_chunk")
    (chunk,) = [
        chunk for chunk in whole.chunks[:-1]
        if any(choice["delta"].get("tool_calls") for choice in chunk["choices"])
    ]  # fmt: skip
    both = chunk["choices"][0]["delta"]["tool_calls"]
    assert [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in both
    ] == TWO_CALLS

    assert {part["index"] for part in parts(odd(hub, "null_index"))} == {None}
    assert not any("index" in part for part in parts(odd(hub, "no_index")))
    repeated = list(parts(odd(hub, "repeat_id_name")))
    assert all(part["id"] and part["function"]["name"] == "get_weather" for part in repeated)
    assert len({part["id"] for part in repeated}) == 2
    for style in ("null_index", "no_index", "repeat_id_name", "calls_in_one_chunk"):
        assert arguments(odd(hub, style)) == arguments(usual), style


def test_odd_endings_and_beginnings(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    usual = two_calls(hub).chunks

    def finishes(chunks: list[Any]) -> int:
        return sum(
            1
            for chunk in chunks
            if chunk != "[DONE]"
            for choice in chunk["choices"]
            if choice["finish_reason"]
        )

    def usages(chunks: list[Any]) -> int:
        return sum(1 for chunk in chunks if chunk != "[DONE]" and chunk.get("usage"))

    assert (finishes(usual), usages(usual), usual[-1]) == (1, 1, "[DONE]")
    assert finishes(odd(hub, "repeat_finish").chunks) == 2
    assert finishes(odd(hub, "no_finish").chunks) == 0
    assert usages(odd(hub, "repeat_usage").chunks) == 2
    assert odd(hub, "no_done").chunks[-1] != "[DONE]"
    combined = odd(hub, "no_done", "no_finish").chunks
    assert (finishes(combined), combined[-1] == "[DONE]") == (0, False)
    delta = odd(hub, "reasoning_first").chunks[0]["choices"][0]["delta"]
    assert delta["content"] is None
    assert delta["reasoning_content"]


def test_an_upstream_refuses_with_a_status_even_when_asked_to_stream(oxen_sandbox: Sandbox) -> None:
    body = {
        **CHAT,
        "stream": True,
        "messages": [{"role": "tool", "content": "x", "tool_call_id": "y"}],
    }
    answer = ai(oxen_sandbox, "POST", "/chat/completions", body)
    assert answer.status == 400
    assert answer.json["error"]["message"]


def test_faults_over_http(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    fault = {"action": "respond", "status": 429, "path": "*/queue", "headers": [["x-a", "b"]]}
    armed = call(
        hub, "POST", "/_sandbox/faults", [fault, {"action": "hang", "path": "/nowhere"}], key=""
    )
    assert [fault["action"] for fault in armed.json["faults"]] == ["respond", "hang"]
    refused = ai(hub, "GET", "/queue")
    assert (refused.status, refused.headers["x-a"]) == (429, "b")
    (first, second) = call(hub, "GET", "/_sandbox/faults").json["faults"]
    assert (first["fired"], second["fired"]) == (1, 0)
    assert call(hub, "DELETE", "/_sandbox/faults").json == {"faults": []}
    cut = {"action": "odd_stream", "style": ["no_done", "no_finish"]}
    call(hub, "POST", "/_sandbox/faults", cut)
    assert list(hub.faults) == [Fault("odd_stream", style=("no_done", "no_finish"))]


def test_an_answer_of_bytes_is_sent_as_it_is_and_reported_as_text(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("respond", body=b"\xffox", path="*/queue"))
    (armed,) = call(oxen_sandbox, "GET", "/_sandbox/faults").json["faults"]
    assert armed["body"] == "\ufffdox"
    assert ai(oxen_sandbox, "GET", "/queue").content == b"\xffox"


@pytest.mark.parametrize(
    "wrong",
    [{"action": "explode"}, {"action": "reset", "color": 1}, {}, {"action": "odd_stream"},
     {"action": "odd_stream", "style": "purple"}, {"action": "reset", "status": 503}],
)  # fmt: skip
def test_a_fault_that_makes_no_sense_is_refused(oxen_sandbox: Sandbox, wrong: Any) -> None:
    answer = call(oxen_sandbox, "POST", "/_sandbox/faults", wrong)
    assert answer.status == 400
    assert answer.json["error"]["message"]
    with pytest.raises((ValueError, TypeError)):
        Fault.from_json(wrong)
