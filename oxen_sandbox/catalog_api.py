"""`/models`: list, search, favorites, deployments; and the older `/evaluations/models`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.hub import Hub
from oxen_sandbox.models import legacy, outputs
from oxen_sandbox.state import Account
from oxen_sandbox.wire import invalid_params, json_body

_EDITABLE = {"display_name", "description", "summary", "image_url"}


class CatalogApi:
    """Handlers over `hub.models`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def index(self, request: Request) -> Response:
        """GET /models"""
        query = request.query_params
        wanted = {name: query.get(name) for name in ("developer_name", "provider_name", "action")}
        return self._listed(self._hub.models.listing(self._now, **wanted))

    async def search(self, request: Request) -> Response:
        """GET /models/search"""
        words = request.query_params.get("search")
        if words is None:
            raise invalid_params("Missing field: search")
        return self._listed(self._hub.models.listing(self._now, search=words))

    async def featured(self, _: Request) -> Response:
        """GET /models/featured"""
        return self._listed(self._hub.models.featured(self._now))

    async def favorites(self, request: Request) -> Response:
        """GET /models/favorites"""
        liked = _account(request).favorites
        models = self._hub.models
        return self._listed(
            [models.sent(name, self._now) for name in list(models) if name in liked]
        )

    async def show(self, request: Request) -> Response:
        """GET /models/:id"""
        return self._sent(request)

    async def favorite(self, request: Request) -> Response:
        """POST /models/:id/favorite"""
        self._hub.models.find(request.path_params["id"])
        _account(request).favorites.add(request.path_params["id"])
        return self._sent(request)

    async def unfavorite(self, request: Request) -> Response:
        """DELETE /models/:id/favorite"""
        self._hub.models.find(request.path_params["id"])
        _account(request).favorites.discard(request.path_params["id"])
        return self._sent(request)

    async def update(self, request: Request) -> Response:
        """PUT /models/:id of a custom model"""
        model = self._custom(request)
        model.update(
            {key: value for key, value in json_body(request.scope).items() if key in _EDITABLE}
        )
        return self._sent(request)

    async def delete(self, request: Request) -> Response:
        """DELETE /models/:id of a custom model"""
        self._custom(request)
        answer = self._sent(request)
        del self._hub.models[request.path_params["id"]]
        return answer

    async def activate(self, request: Request) -> Response:
        """POST /models/:id/activate"""
        name = request.path_params["id"]
        fault = self._hub.faults.draw("deployment", "POST", request.url.path)
        end = "error" if fault else "active"
        self._hub.models.deploy(name, self._now, self._hub.settings.deploy_seconds, end=end)
        return self._sent(request)

    async def deactivate(self, request: Request) -> Response:
        """POST /models/:id/deactivate"""
        name = request.path_params["id"]
        self._hub.models.undeploy(name, self._now, self._hub.settings.deploy_seconds)
        return self._sent(request)

    async def legacy_index(self, request: Request) -> Response:
        """GET /evaluations/models"""
        wanted = request.query_params.get("output_capability")
        models = self._hub.models
        return JSONResponse({
            "models": [
                legacy(models.sent(name, self._now))
                for name, model in list(models.items())
                if not wanted or (isinstance(model, dict) and wanted in outputs(model))
            ]
        })  # fmt: skip

    async def legacy_show(self, request: Request) -> Response:
        """GET /evaluations/models/:id"""
        self._hub.models.find(request.path_params["id"])
        return JSONResponse(legacy(self._hub.models.sent(request.path_params["id"], self._now)))

    @property
    def _now(self) -> float:
        return self._hub.clock.now()

    def _custom(self, request: Request) -> dict[str, Any]:
        return self._hub.models.find_custom(request.path_params["id"], _account(request).namespace)

    def _sent(self, request: Request) -> Response:
        name = request.path_params["id"]
        self._hub.models.find(name)
        return JSONResponse(self._hub.models.sent(name, self._now))

    def _listed(self, models: list[Any]) -> Response:
        return JSONResponse({"object": "list", "data": models})


def _account(request: Request) -> Account:
    account: Account = request.scope["oxen.account"]
    return account
