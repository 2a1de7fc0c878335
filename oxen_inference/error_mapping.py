"""From what a hub or an upstream says to the error that is raised: one table each way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oxen_inference import errors

BY_STATUS: dict[int, type[errors.APIStatusError]] = {
    cls.default_status: cls
    for cls in (
        errors.BadRequestError,
        errors.AuthenticationError,
        errors.InsufficientCreditsError,
        errors.PermissionDeniedError,
        errors.NotFoundError,
        errors.RequestTimeoutError,
        errors.ConflictError,
        errors.UnprocessableEntityError,
        errors.RateLimitError,
    )
    if cls.default_status is not None
}

STATUS_OF_TYPE = {
    # Oxen's own types (https://docs.oxen.ai) …
    "unauthenticated": 401,
    "invalid_params": 400,
    "invalid_file_input": 400,
    "unsupported_media_type": 415,
    "resource_not_found": 404,
    "insufficient_credits": 402,
    "unknown_error": 500,
    # … and those of the upstreams whose errors it passes on inside a 200.
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "timeout": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "overloaded_error": 529,
    "overloaded": 529,
    "service_unavailable": 503,
}

CONTEXT_OVERFLOW = re.compile(
    r"maximum context length"  # OpenAI, vLLM, Mistral, DeepSeek
    r"|context[ _]length[ _]exceeded"
    r"|prompt is too long"  # Anthropic
    r"|input length and `?max_tokens`? exceed"  # Anthropic
    r"|exceeds? the (?:model'?s? )?(?:maximum )?context (?:window|length|size)"
    r"|exceed(?:s|ed)? (?:the )?(?:available |model'?s? )?context (?:window|length|size|limit)"
    r"|input token count .{0,40}exceeds the maximum"  # Google
    r"|maximum (?:prompt|input|sequence) length"  # xAI, TGI
    r"|too many tokens(?!, please wait)|input is too long"  # Cohere, Bedrock (which throttles so)
    r"|exceeds the maximum number of tokens|exceeded model token limit"  # Vertex, Moonshot
    r"|context window exceeds|prompt exceeds max length|more than max tokens allowed"  # MiniMax, GLM
    r"|tokens \+ `?max_new_tokens`? must be|must have less than \d+ tokens"  # TGI
    r"|string too long\. expected a string with maximum length"  # OpenAI, a single string
    r"|range of input length should be"  # Qwen
    r"|(?:prompt|input|request).{0,40}(?:longer|larger) than .{0,40}context"
    r"|reduce the length of the (?:messages|input|prompt)",
    re.IGNORECASE,
)
MODEL_NOT_FOUND = re.compile(r"^model not found: ?(?P<model>.+)$", re.IGNORECASE)

NO_CREDITS = re.compile(
    r"insufficient (?:credits|funds|balance|quota)|out of credits", re.IGNORECASE
)

_NEXT_STEP = {
    401: "Check the API key: https://oxen.ai/settings/profile",
    402: "Add credits at https://oxen.ai/settings, or name another target_namespace to bill.",
}


def human_text(body: object) -> str | None:
    """Return the words meant for people in an error body of any known shape, or None."""
    if isinstance(body, str):
        return _trim(body)
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    inner = error if isinstance(error, Mapping) else {}
    candidates = (
        inner.get("detail"),
        inner.get("message"),
        inner.get("title"),
        error,
        body.get("error_message"),
        body.get("status_message"),
        body.get("message"),
        body.get("detail"),
        inner.get("type"),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.strip():
            return _trim(candidate.strip().lstrip(":"))
    return None


def status_error(
    body: object, *, response: Any = None, status: int | None = None, request: Any = None
) -> errors.APIStatusError:
    """Build the error for an HTTP error answer, or for an error object inside a success.

    `body` is the decoded JSON, or the text where it is none. Without `response` the status is
    read off the error's code or type.
    """
    real_status = getattr(response, "status_code", None)
    code = real_status if real_status and real_status >= 300 else status or spoken_status(body)
    text = human_text(body) or f"Oxen answered with status {code} and no explanation."
    if _is_page(body):
        text = f"Oxen, or something before it, answered with status {code}: {text}."
    kwargs: dict[str, Any] = {"body": _inner(body), "status_code": code, "request": request}
    kwargs["response"] = response if real_status and real_status >= 300 else None

    if CONTEXT_OVERFLOW.search(text) and code in (400, 413, 422, 500):
        return errors.ContextOverflowError(text, **kwargs)
    if code in (400, 404) and MODEL_NOT_FOUND.match(text):
        return errors.ModelNotFoundError(text, **kwargs)
    if code in _NEXT_STEP:
        text = f"{text.rstrip('.')}. {_NEXT_STEP[code]}"
    cls = BY_STATUS.get(code)
    if cls is None:
        server_side = code >= 500
        cls = errors.InternalServerError if server_side else errors.APIStatusError
    error = cls(text, **kwargs)
    if isinstance(error, errors.RateLimitError) and error.retry_after:
        error.message = f"{text.rstrip('.')}. Wait {error.retry_after:.3g} seconds."
    return error


def spoken_status(body: object) -> int:
    """Return the status an error object speaks of: its numeric code, else its type's, else 500."""
    inner = _inner(body)
    outer = body if isinstance(body, Mapping) else {}
    fields = inner if isinstance(inner, Mapping) else {}
    for value in (fields.get("code"), fields.get("status"), fields.get("status_code")):
        if isinstance(value, int | str) and re.fullmatch(r"[45]\d\d", str(value)):
            return int(value)
    for value in (fields.get("type"), fields.get("code"), outer.get("status_message"), inner):
        if isinstance(value, str):
            known = STATUS_OF_TYPE.get(value.strip().lstrip(":").lower())
            if known:
                return known
    text = human_text(body) or ""
    if MODEL_NOT_FOUND.match(text):
        return 404
    if NO_CREDITS.search(text):
        return 402
    return 400 if CONTEXT_OVERFLOW.search(text) else 500


def error_in_success(payload: object) -> errors.APIStatusError | None:
    """Return the error hidden in a 2xx JSON body, if it is one."""
    if not isinstance(payload, Mapping):
        return None
    if payload.get("error") or payload.get("status") == "error":
        return status_error(payload)
    return None


def _inner(body: object) -> object:
    return body.get("error", body) if isinstance(body, Mapping) else body


def _is_page(body: object) -> bool:
    return isinstance(body, str) and bool(re.match(r"\s*(<!doctype|<html)", body, re.IGNORECASE))


def _trim(text: str) -> str:
    text = text.strip()
    if _is_page(text):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title.group(1).strip() if title else "an HTML page instead of an API answer"
    return text if len(text) <= 2000 else text[:2000] + " …"
