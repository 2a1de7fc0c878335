"""Reading what a request carries."""

import json
from typing import Any

from starlette.types import Scope

from oxen_sandbox.errors import Rejected, invalid_params


def json_body(scope: Scope) -> dict[str, Any]:
    """The request's JSON object; raises `Rejected` for anything else."""
    body = scope["oxen.body"]
    if not body:
        return {}
    if "json" not in scope["oxen.headers"].get("content-type", "json"):
        raise Rejected(415, ":unsupported_media_type")
    try:
        content = json.loads(body)
    except ValueError:
        raise invalid_params("The request body is not JSON.") from None
    if not isinstance(content, dict):
        raise invalid_params("The request body is not a JSON object.")
    return content
