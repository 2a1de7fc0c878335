"""The sandbox's catalog: what it covers, how it is filtered, how deployments move."""

import json
from pathlib import Path
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from oxen_sandbox.media_checks import problem
from tests.support.wire import ai, call

CUSTOM = "/models/my-custom-model"
CHAT = {"model": "my-custom-model", "messages": [{"role": "user", "content": "Name an ox."}]}


def listed(hub: Sandbox, path: str = "/models", **query: Any) -> dict[str, Any]:
    return {model["id"]: model for model in ai(hub, "GET", path, **query).json["data"]}


def test_it_covers_every_modality_and_pricing_method(oxen_sandbox: Sandbox) -> None:
    models = listed(oxen_sandbox).values()
    assert {made for model in models for made in model["capabilities"]["output"]} == {
        "text", "image", "video", "audio"
    }  # fmt: skip
    assert {taken for model in models for taken in model["capabilities"]["input"]} == {
        "text", "image", "video", "audio", "file"
    }  # fmt: skip
    assert {model["pricing"]["method"] for model in models} == {
        "token", "time", "per_image", "per_video_output_second", "per_audio_output_second",
        "per_provider_credit",
    }  # fmt: skip
    prices = {key for model in models for key, price in model["pricing"].items() if price}
    assert {
        "cost_per_image_grid", "cost_per_second_by_resolution", "cost_per_second_with_audio",
        "cost_per_second_high_res",
    } <= prices  # fmt: skip


def test_its_facts_are_those_of_the_real_models(
    oxen_sandbox: Sandbox, published_contract: Path
) -> None:
    """Names, types, defaults, enums and ranges, wherever the hub's pages give them."""
    facts = {
        fact["id"]: fact
        for fact in json.loads((published_contract / "catalog-facts.json").read_text())
    }
    real = {name: model for name, model in listed(oxen_sandbox).items() if name in facts}
    assert len(real) >= 25
    for name, model in real.items():
        schema, fact = model["request_schema"], facts[name]
        assert model["display_name"] == fact["display_name"]
        assert model["capabilities"]["output"] == fact["capabilities"]["output"]
        if fact["request_schema"] is None:
            assert schema is None
            continue
        assert schema["required"] == fact["request_schema"]["required"]
        for parameter, facts_of_it in fact["request_schema"]["properties"].items():
            described = schema["properties"][parameter]
            assert {key: described[key] for key in facts_of_it} == facts_of_it, (name, parameter)


def test_the_defaults_of_every_schema_are_accepted(oxen_sandbox: Sandbox) -> None:
    for name, model in listed(oxen_sandbox).items():
        fields = (model["request_schema"] or {}).get("properties", {})
        defaults = {key: field["default"] for key, field in fields.items() if "default" in field}
        required = dict.fromkeys(
            (model["request_schema"] or {}).get("required", []), "https://example.com/a.png"
        )
        for key in required:
            if fields[key]["type"] == "array":
                required[key] = [required[key]]  # type: ignore[assignment]
        assert problem(model["request_schema"], {**required, **defaults}) is None, name
        assert set((model["request_schema"] or {}).get("basic", [])) <= set(fields)


def test_filters(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    assert set(listed(hub, developer_name="anthropic")) == {"claude-sonnet-4-6", "claude-opus-4-8"}
    assert "qwen3-vl-4b-instruct" in listed(hub, action="text_generation")
    assert set(listed(hub, provider_name="luma")) == {
        "luma-ray-v3-2-image-to-video", "luma-ray-v3-2-text-to-video"
    }  # fmt: skip
    assert listed(hub, developer_name="anthropic", action="text_generation") == {}
    assert set(listed(hub, "/models/search", search="NANO-BANANA-PRO")) == {
        "google-nano-banana-pro"
    }
    assert listed(hub, "/models/search", search="no such model") == {}
    assert 1 <= len(listed(hub, "/models/featured")) < len(listed(hub))


def test_favorites(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    for _ in range(2):
        assert ai(hub, "POST", "/models/flux-2-dev/favorite").json["id"] == "flux-2-dev"
    assert set(listed(hub, "/models/favorites")) == {"flux-2-dev"}
    ai(hub, "DELETE", "/models/flux-2-dev/favorite")
    assert listed(hub, "/models/favorites") == {}
    assert ai(hub, "POST", "/models/flux-99/favorite").status == 404


def test_updating_and_deleting_custom_models(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    changed = ai(
        hub, "PUT", CUSTOM, {"display_name": "Mine", "id": "stolen", "owned_by": "me"}
    ).json
    assert (changed["display_name"], changed["id"]) == ("Mine", "my-custom-model")
    other = hub.add_account("neighbour")
    assert call(hub, "DELETE", f"/api/ai{CUSTOM}", key=other).status == 404
    assert ai(hub, "DELETE", CUSTOM).json["display_name"] == "Mine"
    assert ai(hub, "GET", CUSTOM).status == 404
    assert ai(hub, "DELETE", "/models/flux-2-dev").status == 404
    assert "flux-2-dev" in listed(hub)


def test_a_deployment_moves_on_the_clock() -> None:
    with Sandbox(speed=0, deploy_seconds=30) as hub:

        def status() -> str:
            return str(ai(hub, "GET", CUSTOM).json["deployments"][0]["status"])

        assert status() == "inactive"
        assert ai(hub, "POST", "/chat/completions", CHAT).status == 400
        ai(hub, "POST", f"{CUSTOM}/activate")
        assert status() == "deploying"
        assert ai(hub, "POST", "/chat/completions", CHAT).status == 400
        hub.clock.advance(31)
        assert status() == "active"
        assert ai(hub, "POST", "/chat/completions", CHAT).status == 200
        ai(hub, "POST", f"{CUSTOM}/activate")
        assert status() == "active"
        ai(hub, "POST", f"{CUSTOM}/deactivate")
        assert status() == "deactivating"
        hub.clock.advance(31)
        assert status() == "inactive"
        hub.inject(Fault("fail_deployment"))
        ai(hub, "POST", f"{CUSTOM}/activate")
        hub.clock.advance(31)
        assert status() == "error"
        ai(hub, "POST", f"{CUSTOM}/activate")
        hub.clock.advance(31)
        assert status() == "active"


def test_base_models_have_no_deployment(oxen_sandbox: Sandbox) -> None:
    for verb in ("activate", "deactivate"):
        assert ai(oxen_sandbox, "POST", f"/models/gpt-4o/{verb}").status == 400


@pytest.mark.parametrize(
    "entry",
    [{"id": "odd"}, {"id": "odd", "pricing": "free", "capabilities": None}, "a string", None, 7],
)
def test_odd_entries_are_served_as_they_are(oxen_sandbox: Sandbox, entry: Any) -> None:
    hub = oxen_sandbox
    hub.models["odd"] = entry
    assert entry in ai(hub, "GET", "/models").json["data"]
    assert call(hub, "GET", "/api/evaluations/models").status == 200
    assert ai(hub, "GET", "/models/search", search="flux").status == 200
    for path in ("/queue", "/chat/completions"):
        assert ai(hub, "POST", path, {**CHAT, "model": "odd", "prompt": "x"}).status in {
            200,
            400,
            404,
        }
    hub.reset()
    assert "odd" not in hub.models
