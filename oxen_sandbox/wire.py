"""How a request is read, and refused in either of Oxen's two error shapes."""

import json
from typing import Any, Literal

from starlette.types import Scope

ErrorShape = Literal["openai", "oxen"]

_TITLES = {
    "unauthenticated": "Authentication is required.",
    "invalid_params": "The request has parameters that cannot be used.",
    "invalid_file_input": "An input file cannot be used.",
    "insufficient_credits": "The account has no credits left.",
    "resource_not_found": "There is no such resource.",
}


class Rejected(Exception):  # noqa: N818 - named for what happened to the request
    """A request answered with an error status and a message in Oxen's words."""

    def __init__(
        self,
        status: int,
        message: str,
        type: str | None = None,  # noqa: A002 - the wire's own name
        shape: ErrorShape = "openai",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.shape = shape

    def body(self) -> dict[str, Any]:
        """The JSON body: `{"error": {"message"}}`, or Oxen's own envelope."""
        if self.shape == "openai":
            error = {"message": self.message}
            return {"error": error if self.type is None else {**error, "type": self.type}}
        kind = self.type or "unknown_error"
        return {
            "error": {
                "type": kind,
                "title": _TITLES.get(kind, "The request failed."),
                "detail": self.message,
            },
            "status": "error",
            "status_message": kind,
        }


def titled(kind: str, title: str) -> dict[str, Any]:
    """Oxen's envelope with a title and no detail."""
    return {"error": {"type": kind, "title": title}, "status": "error", "status_message": kind}


def invalid_params(message: str) -> Rejected:
    """A 400 in Oxen's envelope."""
    return Rejected(400, message, "invalid_params", shape="oxen")


def not_found(message: str) -> Rejected:
    """A 404 in Oxen's envelope."""
    return Rejected(404, message, "resource_not_found", shape="oxen")


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
