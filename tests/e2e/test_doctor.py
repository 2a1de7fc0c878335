"""`doctor`: no deviation on the plain sandbox, and exactly the one that is switched on elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger, OxenClient
from oxen_inference.cli import doctor
from oxen_inference.cli.main import main
from oxen_inference.doctor import account_checks
from oxen_inference.doctor.examine import examine, redacted
from oxen_inference.errors import LedgerError
from oxen_inference.ledger import maintenance
from oxen_sandbox import Fault, Sandbox
from tests.support.routed_hub import Response, RoutedHub, listed

CANARY = "canary-key-9f8e7d6c5b4a"
HEADER = "canary-header-1a2b3c4d5e"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_checks, "_KEEP_ALIVE", 2.0)
    monkeypatch.setattr(account_checks.check_account, "__kwdefaults__", {"keep_alive": 2.0})


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(keepalive_seconds=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def with_key(hub: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
    monkeypatch.setenv("OXEN_SANDBOX_SPEED", "1")


def found(hub: Sandbox, **options: Any) -> list[str]:
    """The checks that deviate."""
    with OxenClient(base_url=hub.base_url, **{"api_key": hub.api_key, **options}) as client:
        return [finding.check for finding in examine(client).deviations]


def run(hub: Any, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = main(["--base-url", hub.base_url, "doctor", "--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_the_plain_sandbox_has_no_deviation(
    hub: Sandbox, with_key: None, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["--base-url", hub.base_url, "doctor", "--json"])
    printed, waits = capsys.readouterr()
    report = json.loads(printed)
    assert waits.startswith("checking the hub and the ledger; ")
    assert (status, report["deviations"]) == (0, [])
    assert [finding["check"] for finding in report["known"]] == [
        "endpoint and inputs", "prices in prose", "prices in credits",
    ]  # fmt: skip
    for finding in report["known"]:
        assert finding.keys() == {"check", "expected", "seen", "means"}
        assert all(finding.values())
    assert report["facts"]["seconds to the first keep-alive"] < 60
    assert not hub.jobs
    assert {r.method for r in hub.requests if r.path.startswith("/api/ai/models")} == {"GET"}


def test_what_cannot_be_reached_is_no_success(
    hub: Sandbox,
    with_key: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OXEN_LEDGER_URL", f"postgresql://me:s3cr3t-pw@/x?host={tmp_path}")
    status, report = run(hub, capsys)
    assert status == 3
    assert "can be reached from here" in report["unreachable"][0]
    assert "s3cr3t" not in str(report)


def test_a_ledger_that_may_not_be_written_is_no_success(
    hub: Sandbox,
    with_key: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OXEN_LEDGER_URL", str(tmp_path / "l.sqlite3"))
    Ledger(tmp_path / "l.sqlite3").setup()
    assert run(hub, capsys)[0] == 0

    def refuse(_: Ledger) -> None:
        raise LedgerError("permission denied for table oxen_entries")

    monkeypatch.setattr(maintenance, "check_rights", refuse)
    status, report = run(hub, capsys)
    assert (status, report["unreachable"]) == (
        3,
        ["ledger: permission denied for table oxen_entries"],
    )


def test_without_a_key_the_catalog_is_checked(
    hub: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = run(hub, capsys)
    assert (status, report["deviations"]) == (0, [])
    assert len(report["known"]) == 3
    assert "errors, lists, events, clock: there is no key" in report["skipped"]
    assert {request.path for request in hub.requests} == {"/api/ai/models"}


def test_people_read_it_without_json(hub: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    hub.models["flux-2-dev"]["pricing"] = {"method": "per_\x1b[31mmood"}
    assert main(["--base-url", hub.base_url, "doctor"]) == 1
    shown, waits = capsys.readouterr()
    assert waits == "checking the catalog and the ledger\n"
    assert "Known: handled by the library (3)" in shown
    assert "Deviations: not expected by the library (1)\n- pricing method" in shown
    assert "means:    The price of such a model is unknown." in shown
    assert "\x1b" not in shown


def entry(hub: Sandbox) -> Any:
    hub.models["flux-2-dev"] = {**hub.models["flux-2-dev"]}
    return hub.models["flux-2-dev"]


def needs_a_key(hub: Sandbox) -> None:
    hub.hub.face = replace(hub.hub.face, keyless_catalog=False)


def other_method(hub: Sandbox) -> None:
    entry(hub)["pricing"] = {"method": "per_mood", "cost_per_mood": 1}


def other_currency(hub: Sandbox) -> None:
    entry(hub)["pricing"] = {"method": "per_image", "cost_per_image": 1, "currency": "EUR"}


def other_keyword(hub: Sandbox) -> None:
    model = entry(hub)
    model["request_schema"] = {**model["request_schema"], "x-brand-new": True}


def unread_keyword(hub: Sandbox) -> None:
    model = entry(hub)
    fields = {**model["request_schema"]["properties"], "size": {"type": "string", "pattern": "^x"}}
    model["request_schema"] = {**model["request_schema"], "properties": fields}


def other_deployment(hub: Sandbox) -> None:
    entry(hub)["deployments"] = [{"status": "hibernating"}]


def other_endpoint(hub: Sandbox) -> None:
    entry(hub)["endpoint"] = "/holograms/generate"


def edit_endpoint(hub: Sandbox) -> None:
    entry(hub)["endpoint"] = "/images/edit"


def unreadable(hub: Sandbox) -> None:
    hub.models["odd"] = 7


def silent_events(hub: Sandbox) -> None:
    hub.hub.settings.keepalive_seconds = 60


def answer(method: str, path: str, status: int, message: str) -> Callable[[Sandbox], None]:
    def inject(hub: Sandbox) -> None:
        fault = Fault(
            "respond", method=method, path=path, status=status, message=message, times=None
        )
        hub.inject(fault)

    return inject


@pytest.mark.parametrize(
    ("switch", "check"),
    [
        (needs_a_key, "catalog without a key"), (other_method, "pricing method"),
        (other_currency, "currency"), (other_keyword, "schema keyword"), (unread_keyword, "schema keyword"),
        (other_deployment, "deployment status"), (other_endpoint, "endpoint"),
        (edit_endpoint, "endpoint of an edit"), (unreadable, "entries of the catalog"),
        (silent_events, "stream of events"),
        (answer("POST", "*/chat/completions", 500, "boom"), "POST /chat/completions"),
        (answer("DELETE", "*/queue/*", 200, "gone"), "DELETE /queue/<unknown id>"),
        (answer("GET", "*/queue/*", 500, "boom"), "GET /queue/<unknown id>"),
        (answer("GET", "*/generations", 404, "no route"), "GET /generations"),
        (answer("POST", "*/audio/*", 404, "no route"), "routes of speech"),
    ],
)  # fmt: skip
def test_each_difference_is_found_and_nothing_else(
    hub: Sandbox, switch: Callable[[Sandbox], None], check: str
) -> None:
    switch(hub)
    assert set(found(hub)) == {check}


def test_the_documented_face(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(face="documented", keepalive_seconds=0.1) as hub:
        assert found(hub) == ["catalog without a key", "endpoint of an edit", "routes of speech"]


# The ledger


def test_the_ledger_tells_of_bills_and_of_costs_that_never_came(
    hub: Sandbox, tmp_path: Any
) -> None:
    from sqlalchemy import text

    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.generate(model="flux-2-dev", prompt="an ox")
        report = examine(client)
        assert report.deviations == []
        assert report.facts["entries in the ledger"] == 1
        with ledger.database.writing() as connection:
            connection.execute(text("UPDATE oxen_entries SET quoted = 1"))
        (finding,) = examine(client).deviations
        assert finding.check == "bills and quotes"
        assert finding.seen.startswith("flux-2-dev $")
        with ledger.database.writing() as connection:
            connection.execute(text("UPDATE oxen_entries SET quoted = NULL, state = 'unknown'"))
        report = examine(client)
        assert [each.check for each in report.deviations] == ["requests of unknown outcome"]
    in_commands = str(doctor._in_commands(report).deviations)
    assert "`oxen-inference reconcile` looks again, `oxen-inference adopt` and" in in_commands


# Secrets


def test_no_secret_is_in_a_report() -> None:
    def echo(sent: Any) -> Response:
        said = f"bad key {sent.headers.get('authorization')} {sent.headers.get('x-team')}"
        return Response({"error": {"type": "invalid_params", "detail": said}}, 400)

    model = {"id": f"ox-{CANARY}", "pricing": {"method": f"per-{HEADER}"}}
    routes: dict[str, Any] = {
        "GET /models": listed(model),
        **{f"POST {path}": echo for path in ("/chat/completions", "/queue", "/images/generate")},
        "GET /queue": {"count": 1, "generations": [{"generation_id": "a", "status": CANARY}]},
        "GET /generations": echo,
    }
    with RoutedHub(routes) as hub:
        client = OxenClient(base_url=hub.url, api_key=CANARY, default_headers={"X-Team": HEADER})
        report = redacted(client, examine(client))
        client.close()
        assert any(CANARY in str(sent.headers) for sent in hub.requests)
    text = json.dumps(report.as_dict())
    assert len(report.deviations) > 4
    assert CANARY not in text.lower()
    assert HEADER.replace("-", "_") not in text.replace("-", "_")


# Spending


def test_one_image_is_bought_after_asking(
    hub: Sandbox,
    with_key: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    status, report = run(hub, capsys, "--spend", "0.05")
    assert (status, report["deviations"]) == (0, [])
    (job,) = hub.jobs
    bought = report["facts"]["bought"]
    assert bought["generation_ids"] == [job.generation_id]
    assert Decimal(bought["cost"]) <= Decimal(bought["quoted"]) <= Decimal("0.05")


@pytest.mark.parametrize("answer", ["n\n", "", "perhaps\n"])
def test_nothing_is_bought_without_a_yes(
    hub: Sandbox,
    with_key: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    _, report = run(hub, capsys, "--spend", "0.05")
    assert "purchase: not approved" in report["skipped"]
    assert not hub.jobs


def test_nothing_is_bought_that_costs_more(
    hub: Sandbox, with_key: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = run(hub, capsys, "--spend", "0.0001", "--yes")
    assert any("no image model costs at most" in each for each in report["skipped"])
    assert not hub.jobs


def test_a_broken_promise_is_a_deviation(
    hub: Sandbox, with_key: None, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.inject(Fault("respond", method="GET", path="*/generations", status=200,
                     body={"generations": [], "total_pages": 1}, times=None))  # fmt: skip
    status, report = run(hub, capsys, "--spend", "0.05", "--yes")
    assert status == 1
    assert [finding["check"] for finding in report["deviations"]] == ["list of generations"]
