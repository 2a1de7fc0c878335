"""Where each call lives below the base URL: one row per version of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from oxen_inference.settings import LEGACY_PATH


@dataclass(frozen=True, slots=True)
class Paths:
    """Path templates, relative to the base URL."""

    models: str = "/models"
    models_query: Mapping[str, str] = field(
        default_factory=lambda: {
            "developer": "developer_name",
            "provider": "provider_name",
            "action": "action",
            "search": "search",
        }
    )
    """Filters the hub applies itself, by the query parameter of each."""
    model: str = "/models/{id}"
    models_search: str = "/models/search"
    models_featured: str = "/models/featured"
    models_favorites: str = "/models/favorites"
    model_update: str = "/models/{id}"
    model_favorite: str = "/models/{id}/favorite"
    model_activate: str = "/models/{id}/activate"
    model_deactivate: str = "/models/{id}/deactivate"
    chat: str = "/chat/completions"
    images_generate: str = "/images/generate"
    images_edit: str = "/images/edit"
    videos_generate: str = "/videos/generate"
    audio_generate: str = "/audio/generate"
    audio_speech: str = "/audio/speech"
    audio_transcriptions: str = "/audio/transcriptions"
    queue: str = "/queue"
    queue_item: str = "/queue/{generation_id}"
    generations: str = "/generations"
    generation: str = "/generations/{generation_id}"
    events: str = "../events"
    older_status: str | None = None
    """Where jobs are asked for by namespace and model, if this version may know no other way."""
    older_cancel: str | None = None

    def is_public(self, method: str, path: str) -> bool:
        """Whether a call needs no key: the list of models, a search of it, and one model."""
        if method.lower() != "get":
            return False
        if path in (self.models, self.models_search):
            return True
        if path in (self.models_featured, self.models_favorites):
            return False
        before, _, after = self.model.partition("{id}")
        name = path.removeprefix(before).removesuffix(after)
        return path == f"{before}{name}{after}" and bool(name) and "/" not in name


CURRENT = Paths()
"""Base ``…/api/ai`` (https://docs.oxen.ai/inference-api)."""

LEGACY = Paths(
    models="/evaluations/models",
    models_query={},
    model="/evaluations/models/{id}",
    models_search="/evaluations/models",
    models_featured="/ai/models/featured",
    models_favorites="/ai/models/favorites",
    model_update="/ai/models/{id}",
    model_favorite="/ai/models/{id}/favorite",
    model_activate="/ai/models/{id}/activate",
    model_deactivate="/ai/models/{id}/deactivate",
    audio_generate="/ai/audio/generate",
    audio_speech="/ai/audio/speech",
    audio_transcriptions="/ai/audio/transcriptions",
    queue="/ai/queue",
    queue_item="/ai/queue/{generation_id}",
    generations="/ai/generations",
    generation="/ai/generations/{generation_id}",
    events="events",
    older_status="/media/generations/status/{namespace}/{model_name}",
    older_cancel="/media/generations/{namespace}/{generation_id}",
)
"""Base ``…/api``, as an older page of the documentation has it."""


def for_base_url(base_url: str) -> Paths:
    """Return the table for the API version that `base_url` ends in."""
    is_legacy = urlsplit(base_url).path.rstrip("/") == LEGACY_PATH
    return LEGACY if is_legacy else CURRENT


def absolute(base_url: str, path: str) -> str:
    """Resolve a path of the table that leaves the base URL, as the events' does."""
    return urljoin(base_url.rstrip("/") + "/", path)


def fill(template: str, **names: str) -> str:
    """Put percent-encoded `names` into a path template."""
    return template.format(**{name: quote(value, safe="") for name, value in names.items()})
