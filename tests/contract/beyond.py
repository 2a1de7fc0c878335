"""What the sandbox, like the hub, answers beyond the enums of the published OpenAPI file."""

from typing import Any

ENDPOINTS = ["/images/edit", "/audio/generate"]
"""Seen on the hub's model pages; the file knows chat, images and videos."""

PRICING_METHODS = ["per_audio_output_second", "per_provider_credit"]
"""Seen on the hub's audio models, and on some of its upscalers."""

STATUSES = {
    400: "bad query parameters of a GET, a base model activated",
    401: "a missing or wrong key",
    402: "no credits left",
    404: "an unknown model in a POST; the file has it for GETs only",
    415: "a body that is not JSON",
    429: "too many requests (only as a fault)",
    500: "what the model says is wrong, inside the hub's own failure",
}
"""The file lists 200 and 400 for POSTs that generate, 200 and at times 404 for the rest."""

ROUTES = {
    ("GET", "/api/events"): "documented on a page, not in the file",
}


def widen(published: dict[str, Any]) -> None:
    """Add the above to the published document, in place."""
    fields = published["components"]["schemas"]["Model"]["properties"]
    fields["endpoint"]["enum"] += ENDPOINTS
    fields["pricing"]["properties"]["method"]["enum"] += PRICING_METHODS
