"""The sandbox as a server: quick to start, sure to stop, alone or among many."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from tests.e2e.test_sandbox_faults import Wire
from tests.support.wire import ai, call, enqueue, fetch

pytest_plugins = ["pytester"]


def test_it_starts_and_stops_quickly() -> None:
    before = threading.active_count()
    starts, stops = [], []
    for _ in range(5):  # the best of five: the machine may be busy
        started = time.monotonic()
        with Sandbox() as hub:
            starts.append(time.monotonic() - started)
            assert ai(hub, "GET", "/models").status == 200
            stopping = time.monotonic()
        stops.append(time.monotonic() - stopping)
        with pytest.raises(OSError, match="refused"):
            fetch(f"{hub.base_url}/models", key=hub.api_key)
    assert min(starts) < 2
    assert min(stops) < 2
    assert threading.active_count() <= before + 1  # a worker thread may outlive its last job


def test_it_stops_while_connections_hang() -> None:
    with Sandbox(keepalive_seconds=3600) as hub:
        hub.inject(Fault("hang", path="*/queue", times=None))
        wires = [Wire(hub), Wire(hub, "/api/events"), Wire(hub, "/api/ai/models")]
        wires[1].until(b"\r\n\r\n")
        time.sleep(0.05)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 60
    for wire in wires:
        with contextlib.suppress(ConnectionResetError):
            wire.read()  # ends: the peer is gone
        wire.close()


def test_many_at_once_know_nothing_of_each_other() -> None:
    hubs = [Sandbox().start() for _ in range(10)]
    try:
        assert len({hub.base_url for hub in hubs}) == 10
        enqueue(hubs[0])
        assert [len(hub.jobs) for hub in hubs] == [1] + [0] * 9
        assert ai(hubs[1], "GET", "/models").status == 200
        assert call(hubs[1], "GET", "/api/ai/models", key="of another").status == 401
    finally:
        for hub in hubs:
            hub.stop()


async def test_it_is_entered_from_async_code() -> None:
    async with Sandbox() as hub:
        assert (await asyncio.to_thread(ai, hub, "GET", "/models")).status == 200
    with Sandbox() as hub:
        assert (await asyncio.to_thread(ai, hub, "GET", "/queue")).status == 200


def test_it_can_be_started_again() -> None:
    hub = Sandbox()
    for _ in range(2):
        with hub:
            assert ai(hub, "GET", "/models").status == 200
            with pytest.raises(RuntimeError, match="already running"):
                hub.start()
    hub.stop()


def test_a_start_that_failed_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted() -> asyncio.AbstractEventLoop:
        raise OSError(errno.EMFILE, "Too many open files")

    hub = Sandbox()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "new_event_loop", exhausted)
        with pytest.raises(RuntimeError, match="did not start") as caught:
            hub.start()
    assert isinstance(caught.value.__cause__, OSError)
    hub.stop()  # there is nothing to stop
    with hub:
        assert ai(hub, "GET", "/models").status == 200


def test_a_taken_port_is_an_error() -> None:
    with Sandbox() as hub:
        port = int(hub.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=port).start()


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(TypeError, match="color"):
        Sandbox(color="brown")


def test_what_it_records(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    enqueue(hub, seed=7)
    ai(hub, "GET", "/queue", status="failed", model="")
    first, second = hub.requests
    assert (first.method, first.path) == ("POST", "/api/ai/queue")
    assert first.json == {"model": "flux-2-dev", "prompt": "an ox", "seed": 7}
    assert (second.query, second.json) == ({"status": "failed", "model": ""}, None)
    assert first.headers["content-type"] == "application/json"
    assert first.time <= second.time
    assert hub.api_key not in repr(hub.requests) + repr(hub) + repr(hub.hub.account)
    hub.settings.record = False
    ai(hub, "GET", "/queue")
    assert len(hub.requests) == 2


def test_reset_forgets_everything(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.settings.image_seconds = 1000
    enqueue(hub)
    hub.credits = 0  # type: ignore[assignment]  # an int will do
    hub.models.clear()
    hub.inject(Fault("respond", times=None))
    hub.reset()
    assert (hub.jobs, hub.charges, hub.requests, len(hub.faults)) == ([], [], [], 0)
    assert hub.settings.image_seconds == 0.1
    assert hub.credits > 0
    assert enqueue(hub)


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("/api/ai/queue", "application/json", b"{nope", 400),
        ("/api/ai/queue", "application/json", b"[1]", 400),
        ("/api/ai/queue", "application/json", b"", 400),
        ("/api/ai/queue", "text/plain", b"hello", 415),
        (
            "/api/ai/queue",
            "application/json; charset=utf-8",
            b'{"model": "flux-2-dev", "prompt": "x"}',
            200,
        ),
        ("/_sandbox/faults", "application/json", b"{nope", 400),
    ],
)
def test_bodies(
    oxen_sandbox: Sandbox, path: str, content_type: str, body: bytes, status: int
) -> None:
    host, port = oxen_sandbox.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {oxen_sandbox.api_key}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert int(answer.split()[1]) == status


def test_a_large_body_arrives_in_parts(oxen_sandbox: Sandbox) -> None:
    image = "data:image/png;base64," + "A" * 5_000_000
    (job,) = enqueue(oxen_sandbox, input_image=[image])
    oxen_sandbox.clock.advance(1)
    assert ai(oxen_sandbox, "GET", f"/queue/{job}").json["status"] == "succeeded"


def test_many_requests_at_once(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.settings.image_seconds = 1.0
    body = {"model": "flux-2-dev", "prompt": "x"}
    started = time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: ai(oxen_sandbox, "POST", "/images/generate", body).status, range(50))
        )
    assert answers == [200] * 50
    assert time.monotonic() - started < 40  # one after the other would take 50


def test_its_state_over_http(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    (job,) = enqueue(hub)
    call(hub, "PUT", "/_sandbox/state", {"credits": "0.5"}, key="")
    changed = call(hub, "PUT", "/_sandbox/state", {"url_seconds": 7}, key="").json
    assert (changed["credits"], changed["settings"]["url_seconds"]) == ("0.5", 7)
    call(hub, "POST", "/_sandbox/clock", {"advance": 60})
    state = call(hub, "GET", "/_sandbox/state").json
    assert [(job["generation_id"], job["status"], job["cost"]) for job in state["jobs"]] == [
        (job, "succeeded", "0.013")
    ]
    assert state["credits"] == "0.487"
    assert [charge["kind"] for charge in state["charges"]] == ["queue"]
    assert call(hub, "POST", "/_sandbox/clock", {"speed": 0}).json["speed"] == 0
    assert call(hub, "POST", "/_sandbox/reset").json["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path", "wrong"),
    [
        ("PUT", "state", {"color": "brown"}),
        ("PUT", "state", {"credits": "plenty"}),
        ("PUT", "state", ["credits"]),
        ("POST", "clock", {"advance": "soon"}),
        ("POST", "clock", {"speed": None}),
        ("POST", "clock", {"forward": 60}),
        ("POST", "clock", 60),
        ("POST", "faults", [1]),
    ],
)
def test_what_cannot_be_set_over_http(
    oxen_sandbox: Sandbox, method: str, path: str, wrong: Any
) -> None:
    answer = call(oxen_sandbox, method, f"/_sandbox/{path}", wrong)
    assert answer.status == 400
    assert answer.json["error"]["message"]


def test_the_command_line_serves_and_says_how() -> None:
    command = [
        sys.executable,
        "-m",
        "oxen_sandbox",
        "--port",
        "0",
        "--speed",
        "1000",
        "--presigned-urls",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = dict(
            process.stdout.readline().strip().removeprefix("export ").split("=", 1)
            for _ in range(3)
        )
        assert not list(Path(printed["OXEN_STATE_DIR"]).iterdir())
        base, key = printed["OXEN_BASE_URL"], printed["OXEN_API_KEY"]
        answer = fetch(f"{base}/queue", "POST", {"model": "google-veo-3", "prompt": "x"}, key)
        (job,) = answer.json["generations"]
        time.sleep(0.05)
        row = fetch(f"{base}/queue/{job['generation_id']}", key=key).json
        assert row["status"] == "succeeded"
        assert "/storage/" in row["result_url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_command_line_says_when_the_port_is_taken() -> None:
    with Sandbox() as hub:
        port = hub.origin.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "oxen_sandbox", "--port", port],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


PLUGIN_TESTS = """
    import pytest

    seen = []

    @pytest.mark.parametrize("number", range(3))
    def test_each_has_a_hub_of_its_own(oxen_sandbox, number):
        assert oxen_sandbox.requests == [] and oxen_sandbox.base_url.endswith("/api/ai")
        oxen_sandbox.models.clear()
        seen.append(oxen_sandbox.origin)
        assert len(set(seen)) == len(seen)
        assert oxen_sandbox.api_key == "oxen-sandbox-key"
"""


def test_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PLUGIN_TESTS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


USERS_TESTS = """
    import asyncio

    import pytest
    import users_app
    from oxen_inference.errors import ConfigurationError

    CALLS = {
        "chat": lambda: users_app.chat.invoke("hi"),
        "async chat": lambda: asyncio.run(users_app.chat.ainvoke("hi")),
        "stream": lambda: list(users_app.chat.stream("hi")),
        "llm": lambda: users_app.llm.complete("hi"),
        "generation": lambda: users_app.client.media.generate(model="flux-2-dev", prompt="an ox"),
    }

    @pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
    def test_what_was_made_at_import_calls_nobody(oxen_sandbox_env, call):
        with pytest.raises(ConfigurationError, match="sandbox's pytest fixture.*function"):
            call()
        assert oxen_sandbox_env.requests == []

    def test_a_variable_that_somebody_set_is_named(oxen_sandbox_env, monkeypatch):
        monkeypatch.setenv("OXEN_LOCAL_ONLY", "1")
        with pytest.raises(ConfigurationError, match="OXEN_LOCAL_ONLY allows only this") as caught:
            users_app.llm.complete("hi")
        assert "fixture" not in str(caught.value)
        assert "Remove OXEN_LOCAL_ONLY" in caught.value.hint

    def test_what_is_made_in_the_test_calls_the_sandbox(oxen_sandbox_env):
        users_app.make_chat().invoke("hi")
        assert oxen_sandbox_env.requests
"""


def test_a_model_made_at_import_never_reaches_the_hub_from_a_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "a-key-of-the-real-hub")
    pytester.makepyfile(
        users_app="""
        from langchain_oxen import ChatOxen
        from llama_index_oxen import Oxen
        from oxen_inference import OxenClient

        def make_chat():
            return ChatOxen(model="claude-sonnet-4-6")

        chat, llm, client = make_chat(), Oxen("claude-sonnet-4-6"), OxenClient()
        """,
        test_users=USERS_TESTS,
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=7)


KEYLESS_TESTS = """
    import pickle

    import pytest
    import users_app
    from oxen_inference.errors import ConfigurationError, MissingAPIKeyError

    USES = [
        lambda: users_app.chat.invoke("hi"),
        lambda: list(users_app.chat.stream("hi")),
        lambda: pickle.loads(pickle.dumps(users_app.chat)).invoke("hi"),
        lambda: users_app.llm.complete("hi"),
        lambda: users_app.client.media.generate(model="flux-2-dev", prompt="an ox"),
    ]

    @pytest.mark.parametrize("use", USES)
    def test_at_use(use):
        with pytest.raises(MissingAPIKeyError, match="OXEN_API_KEY"):
            use()

    @pytest.mark.parametrize("use", USES)
    def test_in_the_sandbox(oxen_sandbox_env, use):
        with pytest.raises(ConfigurationError, match="sandbox's pytest fixture"):
            use()

    def test_made_in_a_test():
        with pytest.raises(MissingAPIKeyError):
            users_app.make_chat()
"""


def test_a_module_that_makes_models_is_imported_without_a_key(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OXEN_API_KEY", raising=False)
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(pytester.path))
    pytester.makepyfile(
        users_app="""
        from langchain_oxen import ChatOxen, OxenFindModelsTool, OxenToolkit
        from llama_index_oxen import Oxen, OxenToolSpec
        from oxen_inference import OxenClient

        def make_chat():
            return ChatOxen(model="claude-sonnet-4-6")

        chat, llm, client = make_chat(), Oxen("claude-sonnet-4-6"), OxenClient()
        tools = OxenFindModelsTool(), OxenToolkit(), OxenToolSpec()
        """,
        conftest="import users_app",
        test_users=KEYLESS_TESTS,
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=11)


def test_an_unknown_key_is_told_that_this_is_the_sandbox(oxen_sandbox: Sandbox) -> None:
    answer = call(oxen_sandbox, "GET", "/api/ai/queue", key="a-key-of-the-real-hub")
    assert answer.status == 401
    assert answer.json["error"]["type"] == answer.json["status_message"] == "unauthenticated"
    assert "this is the local sandbox" in answer.json["error"]["detail"]
    assert "a-key-of-the-real-hub" not in str(answer.json)


HIDE = """
    import importlib.util

    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == {missing!r} else find(name, *rest)
"""


@pytest.mark.parametrize("missing", ["starlette", "av"])
def test_the_plugin_is_harmless_without_the_extra(pytester: pytest.Pytester, missing: str) -> None:
    """Every test but those that ask for the fixture runs; those are skipped with the remedy."""
    pytester.mkpydir("hidden").joinpath("sitecustomize.py").write_text(
        textwrap.dedent(HIDE.format(missing=missing))
    )
    pytester.makepyfile(
        """
        def test_plain():
            pass

        def test_with_a_hub(oxen_sandbox):
            pass
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(pytester.path / "hidden")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(pytester.path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert f"needs {missing}: pip install 'oxen-integrations[sandbox]'" in done.stdout


def test_the_plugin_hides_no_defect_of_the_sandbox_itself(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "oxen_sandbox.server", None)
    pytester.makepyfile("def test_with_a_hub(oxen_sandbox): pass")
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio")
    done.assert_outcomes(errors=1)


def test_importing_the_package_needs_nothing_but_python() -> None:
    """The name `Sandbox` is what needs the extra."""
    code = (
        "import sys, json, oxen_sandbox, oxen_sandbox.pytest_plugin;"
        "print(json.dumps([n for n in ('starlette','uvicorn','PIL','av','jsonschema') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
