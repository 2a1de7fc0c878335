"""Cassettes: real HTTP, recorded once and replayed without a network.

One folder per test module in ``cassettes/``. Each file says where it was recorded: on the
sandbox (``make record``) or on Oxen's hub (``make record HUB=1``, with OXEN_API_KEY set). Replay
matches on method, path, query and body; what is recorded but not replayed fails the test.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from vcr.stubs import aiohttp_stubs

# Its connections inherit from http.client's, which are the recorder's while a cassette plays.
import oxen_inference.media.results.public_connection  # noqa: F401
from tests.conftest import REPOSITORY

CASSETTES = REPOSITORY / "cassettes"
SOURCE = os.environ.get("OXEN_RECORD", "sandbox")
NOTE = {
    "sandbox": "Recorded on oxen_sandbox, the local stand-in. Nothing here was said by Oxen's hub.",
    "hub": "Recorded on Oxen's hub.",
}
STAND_IN = "oxen.test"
"""The host name every recording gets, since the sandbox has another port each time."""

_LOCAL = re.compile(rb"(?:127\.0\.0\.1|localhost):\d+")
_KEPT_HEADERS = {"content-type", "location", "retry-after"}
_real_api_key = os.environ.get("OXEN_API_KEY", "")


@pytest.fixture
def hub(record_mode: str) -> Iterator[SimpleNamespace]:
    """Where to send requests: the recording source, or a name that only a cassette answers."""
    if record_mode == "none":
        yield SimpleNamespace(base_url=f"http://{STAND_IN}/api/ai", api_key="recorded")
    elif SOURCE == "hub":
        yield SimpleNamespace(base_url="https://hub.oxen.ai/api/ai", api_key=_real_api_key)
    else:
        from oxen_sandbox import Sandbox

        with Sandbox() as sandbox:
            yield sandbox


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    return str(CASSETTES / request.node.path.stem.removeprefix("test_"))


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    # No record_mode here: it would beat the command line.
    return {
        "match_on": ["method", "path", "query", "body"],
        "decode_compressed_response": True,
        "before_record_request": _anonymous_request,
        "before_record_response": _anonymous_response,
    }


@pytest.fixture(autouse=True)
def fully_played(request: pytest.FixtureRequest, vcr: Any, record_mode: str) -> Iterator[None]:
    yield
    if vcr is not None and record_mode == "none":
        unplayed = [
            f"{recorded.method} {recorded.path}"
            for recorded, times in zip(vcr.requests, _times_played(vcr), strict=True)
            if not times
        ]
        assert not unplayed, f"recorded but never asked for again: {unplayed}"


@pytest.fixture(autouse=True)
def replayed_headers_reach_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    # vcrpy 8.5 sets a replayed response's parsed headers only; the SDK's aiohttp transport reads
    # the raw ones, and without a content type takes JSON for text.
    build = aiohttp_stubs.build_response

    def build_with_raw_headers(*args: Any) -> Any:
        response = build(*args)
        response._raw_headers = tuple(
            (name.encode(), value.encode()) for name, value in response._headers.items()
        )
        return response

    monkeypatch.setattr(aiohttp_stubs, "build_response", build_with_raw_headers)


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    vcr.register_serializer("yaml", _ReadableYaml)
    vcr.register_matcher("body", _same_body)


def _same_body(one: Any, other: Any) -> None:
    assert _comparable(one.body) == _comparable(other.body)


def _comparable(body: Any) -> Any:
    try:
        return json.loads(body or "null", object_hook=_with_even_description)
    except ValueError:
        return body


def _with_even_description(value: dict[str, Any]) -> dict[str, Any]:
    # Python 3.13 strips the indentation of docstrings, which are what tools are described by.
    text = value.get("description")
    return {**value, "description": " ".join(text.split())} if isinstance(text, str) else value


def _times_played(cassette: Any) -> list[int]:
    return [cassette.play_counts[index] for index in range(len(cassette.requests))]


def _anonymous_request(request: Any) -> Any:
    request.uri = re.sub(r"^https?://[^/]+", f"http://{STAND_IN}", request.uri)
    request.headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() in ("content-type", "accept")
    }
    if isinstance(request.body, bytes):
        request.body = _LOCAL.sub(STAND_IN.encode(), request.body)
    return request


def _anonymous_response(response: dict[str, Any]) -> dict[str, Any]:
    body = response["body"].get("string") or b""
    text = body.encode() if isinstance(body, str) else body
    return {
        "status": response["status"],
        "headers": {
            name.lower(): [_LOCAL.sub(STAND_IN.encode(), v.encode()).decode() for v in _list(value)]
            for name, value in response["headers"].items()
            if name.lower() in _KEPT_HEADERS
        },
        "body": {"string": _LOCAL.sub(STAND_IN.encode(), text)},
    }


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


class _ReadableYaml:
    """Bodies as a reader wants them: JSON as YAML, event streams line by line."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        for interaction in cassette["interactions"]:
            _unfold(interaction["request"], "body")
            _unfold(interaction["response"]["body"], "string")
        document = {"recorded_from": SOURCE, "note": NOTE[SOURCE], **cassette}
        return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)

    @staticmethod
    def deserialize(text: str) -> Any:
        cassette = yaml.safe_load(text)
        for interaction in cassette["interactions"]:
            _fold(interaction["request"], "body")
            _fold(interaction["response"]["body"], "string")
        return cassette


class _Dumper(yaml.SafeDumper):
    """Several lines of text as a block, not as one quoted line."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _unfold(holder: dict[str, Any], name: str) -> None:
    body = holder.get(name)
    if isinstance(body, str) and body[:1] in ("{", "["):
        holder[name] = {"json": json.loads(body)}


def _fold(holder: dict[str, Any], name: str) -> None:
    body = holder.get(name)
    if isinstance(body, dict) and "json" in body:
        holder[name] = json.dumps(body["json"], ensure_ascii=False, separators=(",", ":"))
