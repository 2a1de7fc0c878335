"""The routes of the published API, of an older page of it, and of the sandbox's own controls."""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from oxen_sandbox.catalog_api import CatalogApi
from oxen_sandbox.completions_api import CompletionsApi
from oxen_sandbox.control_api import ControlApi
from oxen_sandbox.errors import not_found
from oxen_sandbox.queue_api import QueueApi
from oxen_sandbox.streams import EventStream
from oxen_sandbox.synchronous_api import SynchronousApi

if TYPE_CHECKING:
    from oxen_sandbox.hub import Hub


def routes(hub: "Hub") -> Router:
    """Everything the hub answers; the last route turns the rest into 404s."""
    chat, queue, media = CompletionsApi(hub), QueueApi(hub), SynchronousApi(hub)
    models, control = CatalogApi(hub), ControlApi(hub)

    async def events(request: Request) -> Response:
        faults = hub.faults.draw_all("stream", "GET", request.url.path)
        stream = hub.events.listen(request.scope["oxen.account"], hub.settings.keepalive_seconds)
        return EventStream(stream, faults)  # type: ignore[return-value]  # any ASGI app will do

    shared = [  # under today's base URL and under the older one
        ("/chat/completions", chat.create, "POST"),
        ("/images/generate", media.generate_image, "POST"),
        ("/images/edit", media.edit_image, "POST"),
        ("/videos/generate", media.generate_video, "POST"),
    ]
    current = [
        *shared,
        ("/audio/generate", media.generate_audio, "POST"),
        ("/queue", queue.create, "POST"),
        ("/queue", queue.active, "GET"),
        ("/queue/{generation_id}", queue.show, "GET"),
        ("/queue/{generation_id}", queue.cancel, "DELETE"),
        ("/generations", queue.history, "GET"),
        ("/generations/{generation_id}", queue.details, "GET"),
        ("/models", models.index, "GET"),
        ("/models/search", models.search, "GET"),
        ("/models/featured", models.featured, "GET"),
        ("/models/favorites", models.favorites, "GET"),
        ("/models/{id:path}/activate", models.activate, "POST"),
        ("/models/{id:path}/deactivate", models.deactivate, "POST"),
        ("/models/{id:path}/favorite", models.favorite, "POST"),
        ("/models/{id:path}/favorite", models.unfavorite, "DELETE"),
        ("/models/{id:path}", models.show, "GET"),
        ("/models/{id:path}", models.update, "PUT"),
        ("/models/{id:path}", models.delete, "DELETE"),
    ]
    older = [
        *shared,
        ("/media/generations/status/{namespace}/{model:path}", queue.legacy_status, "GET"),
        ("/media/generations/{namespace}/{generation_id}", queue.cancel, "DELETE"),
        ("/evaluations/models", models.legacy_index, "GET"),
        ("/evaluations/models/{id:path}", models.legacy_show, "GET"),
    ]
    beside = [
        ("/api/events", events, "GET"),
        ("/api/repos/{namespace}/{repo}/workspaces/{workspace}/files/{name}", media.file, "GET"),
        ("/storage/{name}", media.stored_file, "GET"),
        ("/_sandbox/faults", control.faults, "GET"),
        ("/_sandbox/faults", control.inject, "POST"),
        ("/_sandbox/faults", control.clear_faults, "DELETE"),
        ("/_sandbox/state", control.state, "GET"),
        ("/_sandbox/state", control.change, "PUT"),
        ("/_sandbox/clock", control.advance, "POST"),
        ("/_sandbox/reset", control.reset, "POST"),
    ]
    table = [
        *((f"/api/ai{path}", handler, method) for path, handler, method in current),
        *((f"/api{path}", handler, method) for path, handler, method in older),
        *beside,
    ]
    return Router(
        [Route(path, handler, methods=[method]) for path, handler, method in table]
        + [Route("/{path:path}", _nowhere, methods=_EVERY_METHOD)],
        redirect_slashes=False,
    )


_EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def _nowhere(request: Request) -> Response:
    raise not_found(f"No route for {request.method} {request.url.path}")
