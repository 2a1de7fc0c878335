"""The catalog: what `/models` knows, and the deployments of custom models.

Names and parameters are those of real models. **Prices are made up**, here and only here
(`catalog.json`, and `live.json` for what only live entries have): nothing in the sandbox says what a call costs on the hub.
"""

import copy
import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from oxen_sandbox.wire import Rejected, invalid_params

JSON = dict[str, Any]


@functools.cache
def _shipped(name: str) -> str:
    return files("oxen_sandbox").joinpath(name).read_text(encoding="utf-8")


def _documented() -> dict[str, JSON]:
    return {model["id"]: model for model in json.loads(_shipped("catalog.json"))["models"]}


def _live() -> dict[str, JSON]:
    """The documented models as the hub's own entries describe them, and some more."""
    beyond = json.loads(_shipped("live.json"))
    models = {
        name: {**model, **beyond["changes"].get(name, {})} for name, model in _documented().items()
    }
    for model in models.values():
        # No live entry names the edit route, whatever the model takes.
        model["endpoint"] = model["endpoint"].replace("/images/edit", "/images/generate")
    return {**models, **{model["id"]: model for model in beyond["models"]}}


@dataclass
class Deployment:
    """Where a custom model's deployment stands: `status` until `until`, then `then`."""

    status: str
    until: float = float("inf")
    then: str = "unknown"

    def at(self, now: float) -> str:
        """The status at hub time `now`."""
        return self.then if now >= self.until else self.status


class Catalog(dict[str, Any]):
    """Models by id, as sent; tests may put in whatever a hub might answer.

    Keys that begin with an underscore are the sandbox's own notes and are not sent.
    """

    def __init__(self, *, live: bool = True) -> None:
        super().__init__()
        self._is_live = live
        self.deployments: dict[str, Deployment] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the shipped models, deployments as shipped."""
        self.clear()
        self.deployments.clear()
        self.update(_live() if self._is_live else _documented())

    def find(self, name: object) -> JSON:
        """The model called `name`, or a 404 `Rejected`."""
        model = self.get(name) if isinstance(name, str) else None
        if not isinstance(model, dict):
            raise Rejected(404, f"Model not found: {name}")
        return model

    def find_custom(self, name: str, namespace: str) -> JSON:
        """The custom model `name` if `namespace` owns it, or a 404 `Rejected`."""
        model = self.find(name)
        if model.get("model_type") != "custom" or model.get("owned_by") != namespace:
            raise Rejected(404, f"Model not found: {name}")
        return model

    def sent(self, name: str, now: float) -> Any:
        """The payload of one model, its deployment as it stands at `now`."""
        model = self[name]
        if not isinstance(model, dict):
            return model
        payload = {key: value for key, value in model.items() if not key.startswith("_")}
        if name in self.deployments:
            payload["deployments"] = [{"status": self.status(name, now)}]
        return payload

    def listing(self, now: float, **filters: str | None) -> list[Any]:
        """Payloads of the models that pass `developer_name`, `provider_name`, `action`, `search`."""
        wanted = {key: value for key, value in filters.items() if value}
        return [
            self.sent(name, now)
            for name, model in list(self.items())
            if all(value.lower() in _facets(model, key) for key, value in wanted.items())
        ]

    def featured(self, now: float) -> list[Any]:
        """Payloads of the models the hub puts forward."""
        return [
            self.sent(name, now) for name, model in list(self.items()) if _note(model, "_featured")
        ]

    def status(self, name: str, now: float) -> str | None:
        """The deployment's status, or None for models that need none."""
        if name in self.deployments:
            return self.deployments[name].at(now)
        model = self.get(name)
        shipped = model.get("deployments") if isinstance(model, dict) else None
        return shipped[0].get("status") if shipped else None

    def deploy(self, name: str, now: float, seconds: float, *, end: str = "active") -> None:
        """Start a deployment that reaches `end` (`active` or `error`) after `seconds`."""
        self._custom(name)
        if self.status(name, now) in {"active", "deploying"}:
            return
        self.deployments[name] = Deployment("deploying", now + seconds, end)

    def undeploy(self, name: str, now: float, seconds: float) -> None:
        """Stop a deployment; it is inactive after `seconds`."""
        self._custom(name)
        if self.status(name, now) in {"inactive", "deactivating"}:
            return
        self.deployments[name] = Deployment("deactivating", now + seconds, "inactive")

    def _custom(self, name: str) -> None:
        if self.find(name).get("model_type") != "custom":
            raise invalid_params(f"{name} is a base model: it is always active.")


def outputs(model: JSON) -> list[str]:
    """What the model makes: `text`, `image`, `video`, `audio`."""
    made = (model.get("capabilities") or {}).get("output")
    return made if isinstance(made, list) else []


def legacy(model: Any) -> Any:
    """The shape an older page documents: `name` for `id`, older names of schema and prices."""
    if not isinstance(model, dict):
        return model
    older = copy.deepcopy(model)
    older["name"] = older.pop("id", None)
    older["json_request_schema"] = older.pop("request_schema", None)
    pricing = older.get("pricing")
    if isinstance(pricing, dict) and pricing.get("method") == "per_video_output_second":
        older["pricing"] = {
            f"video_{key}" if key.startswith("cost_per_second") else key: value
            for key, value in pricing.items()
        }
    return older


def _note(model: Any, key: str) -> Any:
    return model.get(key) if isinstance(model, dict) else None


def _facets(model: Any, key: str) -> list[str] | str:
    """What a filter looks in: whole words for names, any part of the text for `search`."""
    if not isinstance(model, dict):
        return []
    if key == "search":
        return f"{model.get('id')} {model.get('display_name')}".lower()
    if key == "action":
        return [
            str(action).lower() for action in (model.get("fine_tuning") or {}).get("actions", [])
        ]
    if key == "provider_name":
        return [str(model.get("_provider")).lower()]
    return [str((model.get("developer") or {}).get("name")).lower()]
