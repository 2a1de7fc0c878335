"""Every route answers in the shapes of the contract: ours, and the published file's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from oxen_sandbox import Sandbox
from tests.contract.beyond import ROUTES, STATUSES, widen
from tests.support.wire import Answer, ai, call, enqueue

SCHEMAS = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parent / "schemas").glob("*.json")
}
CHAT = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Name an ox."}]}
IMAGE = {"model": "flux-2-dev", "prompt": "an ox at dawn"}


def validate(content: Any, name: str) -> None:
    """Raise unless `content` fits our schema `file.definition`."""
    file, definition = name.split(".")
    schema = {**SCHEMAS[file], "$ref": f"#/$defs/{definition}"}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(content)


@dataclass(frozen=True)
class Case:
    method: str
    path: str
    status: int
    schema: str
    body: Any = None
    published: str | None = None
    live: int | None = None
    """The status on the live face, where it is another."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} → {self.status} {self.schema}"

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.published or f"/api/ai{self.path.partition('?')[0]}"


def model(method: str, rest: str, name: str = "flux-2-dev", status: int = 200, **more: Any) -> Case:
    schema = "models.model" if status == 200 else "errors.refusal"
    return Case(
        method,
        f"/models/{name}{rest}",
        status,
        schema,
        published=f"/api/ai/models/{{id}}{rest}",
        **more,
    )


GENERATION = "/api/ai/generations/{generation_id}"
QUEUED = "/api/ai/queue/{generation_id}"
CUSTOM = "my-custom-model"
NOBODY = "00000000-0000-4000-8000-000000000000"
CASES = [
    Case("POST", "/chat/completions", 200, "chat.completion", CHAT),
    Case("POST", "/chat/completions", 400, "errors.plain", {}),
    Case("POST", "/chat/completions", 404, "errors.plain", {**CHAT, "model": "bad-model-name"}),
    Case("POST", "/images/generate", 200, "media.generated", IMAGE),
    Case("POST", "/images/generate", 400, "errors.enveloped", {"model": "flux-2-dev", "prompt": ""}),
    Case("POST", "/images/edit", 200, "media.generated",
         {"model": "qwen-image-edit", "prompt": "greener", "image": "https://example.com/ox.png"}),
    Case("POST", "/images/edit", 400, "errors.enveloped",
         {"model": "qwen-image-edit", "prompt": "greener", "image": "/etc/passwd"}, live=500),
    Case("POST", "/videos/generate", 200, "media.generated",
         {"model": "google-veo-3-1-fast", "prompt": "an ox walks", "duration": 4}),
    Case("POST", "/videos/generate", 400, "errors.enveloped",
         {"model": "google-veo-3-1-fast", "prompt": "an ox walks", "duration": 5}, live=500),
    Case("POST", "/audio/generate", 200, "media.generated",
         {"model": "bytedance-seed-audio-1-0", "prompt": "moo", "output_format": "wav"}),
    Case("POST", "/audio/generate", 400, "errors.enveloped",
         {"model": "flux-2-dev", "prompt": "moo"}),
    Case("POST", "/queue", 200, "media.accepted", {**IMAGE, "num_generations": 4}),
    Case("POST", "/queue", 400, "errors.enveloped", {**IMAGE, "num_generations": 5}),
    Case("POST", "/queue", 404, "errors.plain", {**IMAGE, "model": "flux-99"}),
    Case("GET", "/queue", 200, "media.queue"),
    Case("GET", "/queue?status=succeeded", 200, "media.queue"),
    Case("GET", "/queue?status=finished", 400, "errors.enveloped"),
    Case("GET", "/queue/{done}", 200, "media.row", published=QUEUED),
    Case("GET", "/queue/{active}", 200, "media.row", published=QUEUED),
    Case("GET", "/queue/{failed}", 200, "media.row", published=QUEUED),
    Case("GET", f"/queue/{NOBODY}", 404, "errors.enveloped", published=QUEUED),
    Case("DELETE", "/queue/{active}", 200, "media.cancelled", published=QUEUED),
    Case("DELETE", "/queue/{done}", 200, "media.cancelled", published=QUEUED),
    Case("DELETE", f"/queue/{NOBODY}", 404, "errors.enveloped", published=QUEUED),
    Case("GET", "/generations", 200, "media.history"),
    Case("GET", "/generations?page=2&page_size=2", 200, "media.history"),
    Case("GET", "/generations?page_size=1001", 400, "errors.enveloped"),
    Case("GET", "/generations/{done}", 200, "media.details", published=GENERATION),
    Case("GET", "/generations/{failed}", 200, "media.details", published=GENERATION),
    Case("GET", f"/generations/{NOBODY}", 404, "errors.enveloped", published=GENERATION),
    Case("GET", "/models", 200, "models.model_list"),
    Case("GET", "/models?developer_name=google&action=nothing", 200, "models.model_list"),
    Case("GET", "/models/search?search=kling", 200, "models.model_list"),
    Case("GET", "/models/search", 400, "errors.enveloped"),
    Case("GET", "/models/featured", 200, "models.model_list"),
    Case("GET", "/models/favorites", 200, "models.model_list"),
    model("GET", ""),
    model("GET", "", name="kling-video-o3-pro-reference-to-video"),
    model("GET", "", name="flux-99", status=404),
    model("POST", "/favorite"),
    model("DELETE", "/favorite"),
    model("PUT", "", name=CUSTOM, body={"summary": "Mine"}),
    model("PUT", "", status=404, body={"summary": "Not mine"}),
    model("DELETE", "", name=CUSTOM),
    model("DELETE", "", status=404),
    model("POST", "/activate", name=CUSTOM),
    model("POST", "/activate", status=400),
    model("POST", "/deactivate", name=CUSTOM),
]  # fmt: skip


@pytest.fixture(scope="module", params=["live", "documented"])
def _hub(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(face=request.param) as hub:
        yield hub


@pytest.fixture
def hub(_hub: Sandbox) -> Sandbox:
    """One hub for the whole table, emptied before each case."""
    _hub.reset()
    return _hub


@pytest.fixture
def ids(hub: Sandbox) -> dict[str, str]:
    """A generation that is done, one that failed, one that is active."""
    done, failed = enqueue(hub)[0], enqueue(hub, output_format="gif")[0]
    hub.clock.advance(10)
    hub.settings.image_seconds = 1000
    return {"done": done, "failed": failed, "active": enqueue(hub, prompt="another ox")[0]}


def answer_to(hub: Sandbox, case: Case, ids: dict[str, str]) -> Answer:
    answer = ai(hub, case.method, case.path.format(**ids), case.body)
    assert answer.status == expected_status(hub, case), answer.content
    return answer


def expected_status(hub: Sandbox, case: Case) -> int:
    is_live = hub.hub.face.name == "live"
    return case.live if is_live and case.live is not None else case.status


@pytest.mark.parametrize("case", CASES, ids=str)
def test_answers_fit_our_schemas(hub: Sandbox, ids: dict[str, str], case: Case) -> None:
    hub.settings.image_seconds = 0.01
    hub.settings.video_seconds = 0.01
    if "{active}" in case.path:
        hub.settings.image_seconds = 1000
        ids["active"] = enqueue(hub)[0]
    validate(answer_to(hub, case, ids).json, case.schema)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_answers_fit_the_published_file(
    hub: Sandbox, ids: dict[str, str], case: Case, published_contract: Path
) -> None:
    published = load(published_contract)
    hub.settings.image_seconds = 0.01 if "{active}" not in case.path else 1000
    answer = answer_to(hub, case, ids)
    method, path = case.route
    responses = published["paths"][path][method.lower()]["responses"]
    status = expected_status(hub, case)
    if str(status) not in responses:
        assert status in STATUSES
        return
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator(
        {**schema, "components": published["components"]}, format_checker=FormatChecker()
    ).validate(answer.json)


def test_every_published_route_is_in_the_table(published_contract: Path) -> None:
    published = {
        (method.upper(), path)
        for path, methods in load(published_contract)["paths"].items()
        for method in methods
    }
    assert published - {case.route for case in CASES} == set()
    assert {case.route for case in CASES} - published == set()
    assert not set(ROUTES) & published


def load(folder: Path) -> dict[str, Any]:
    """The published document as JSON Schema: OpenAPI 3.0's `nullable` in its terms."""
    document: dict[str, Any] = json.loads((folder / "openapi-0.243.1.json").read_text())
    widen(document)
    _nullable(document)
    return document


def _nullable(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _nullable(item)
    elif isinstance(node, dict):
        if node.pop("nullable", False) is True:
            if "type" in node:
                node["type"] = [node["type"], "null"]
            if "enum" in node:
                node["enum"].append(None)
            if "oneOf" in node:
                node["oneOf"].append({"type": "null"})
        for item in node.values():
            _nullable(item)


def test_a_wrong_key_is_refused_everywhere(hub: Sandbox) -> None:
    for path in ("/api/ai/models", "/api/ai/queue", "/api/events", "/api/evaluations/models"):
        for key in ("wrong", ""):
            answer = call(hub, "GET", path, key=key)
            assert answer.status == 401
            validate(answer.json, "errors.enveloped")
            assert answer.json["status_message"] == "unauthenticated"


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/api/evaluations/models", "models.older_list"),
        ("/api/evaluations/models/google-veo-3", "models.older_model"),
        ("/api/media/generations/status/ox-lab/flux-2-dev", "media.queue"),
    ],
)
def test_older_routes_answer_in_their_older_shapes(
    hub: Sandbox, ids: dict[str, str], path: str, schema: str
) -> None:
    answer = call(hub, "GET", path)
    assert answer.status == 200
    validate(answer.json, schema)


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("/chat/completions", CHAT, "chat.completion"),
        ("/images/generate", IMAGE, "media.generated"),
        ("/images/edit", {**IMAGE, "image": "https://example.com/ox.png"}, "media.generated"),
        ("/videos/generate", {"model": "google-veo-3", "prompt": "moo"}, "media.generated"),
        ("/ai/queue", IMAGE, "media.accepted"),
    ],
)
def test_calls_below_the_older_base_url(hub: Sandbox, path: str, body: Any, schema: str) -> None:
    answer = call(hub, "POST", f"/api{path}", body)
    assert answer.status == 200
    validate(answer.json, schema)


def test_older_cancel_and_filter(hub: Sandbox, ids: dict[str, str]) -> None:
    answer = call(hub, "DELETE", f"/api/media/generations/ox-lab/{ids['active']}")
    validate(answer.json, "media.cancelled")
    videos = call(hub, "GET", "/api/evaluations/models", output_capability="video").json["models"]
    assert {"google-veo-3", "openai-sora-2-pro"} <= {entry["name"] for entry in videos}
    assert all(entry["capabilities"]["output"] == ["video"] for entry in videos)


def test_streams_fit_our_schemas(hub: Sandbox) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, done = ai(hub, "POST", "/chat/completions", body).chunks
    assert done == "[DONE]"
    for chunk in chunks:
        validate(chunk, "chat.chunk")
    assert [chunk["choices"] for chunk in chunks if chunk.get("usage")] == [[]]
