"""From what a hub or an upstream says to the error that is raised: one table each way."""

from __future__ import annotations

import json
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
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "timeout": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "throttling": 429,
    "throttling.ratequota": 429,
    "throttling.allocationquota": 429,
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
    r"|longer than the maximum model length"  # vLLM
    r"|number of tokens in the prompt exceeds"
    r"|(?:prompt|input|request).{0,40}(?:longer|larger) than .{0,40}context"
    r"|reduce the length of the (?:messages|input|prompt)",
    re.IGNORECASE,
)
CONTEXT_OVERFLOW_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "context_limit_exceeded",
    "model_context_window_exceeded",
}
MODEL_NOT_FOUND = re.compile(r"^model not found: ?(?P<model>.+)$", re.IGNORECASE)

NO_CREDITS = re.compile(
    r"insufficient (?:credits|funds|balance|quota)|out of credits", re.IGNORECASE
)

_NEXT_STEP = {
    401: "Check the API key: https://oxen.ai/settings/profile",
    402: "Add credits at https://oxen.ai/settings, or name another target_namespace to bill.",
    403: "The key may not do this: check what it may use, and the namespace.",
    408: "Asking again may help.",
    413: "Send less, or public URLs in place of the files themselves.",
}
_FAILED = "Oxen or the provider behind it failed (status {}): asking again later may help."


def human_text(body: object) -> str | None:
    """Return the words meant for people in an error body of any known shape, or None."""
    if isinstance(body, str):
        return _trim(body)
    if isinstance(body, list):
        return _listed(body)
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    inner = error if isinstance(error, Mapping) else {}
    if (upstream := _words_of_upstream(inner)) is not None:
        return upstream
    candidates = (
        inner.get("detail"),
        inner.get("message"),
        inner.get("title"),
        body.get("error_description"),  # OAuth's; its error is a code
        error,
        body.get("error_message"),
        body.get("status_message"),
        body.get("message"),
        body.get("Message"),
        body.get("msg"),
        body.get("detail"),
        body.get("title"),
        body.get("base_resp"),
        body.get("errors"),
        inner.get("errors"),
        inner.get("type"),
    )
    for candidate in candidates:
        if isinstance(candidate, list) and (said := _listed(candidate)):
            return said
        if isinstance(candidate, Mapping) and (said := _nested(candidate)):
            return said
        if isinstance(candidate, str) and candidate.strip():
            return _trim(candidate.strip().lstrip(":"))
    return None


def _nested(said: Mapping[str, Any]) -> str | None:
    """Return the words of an error inside another, which has none itself."""
    words = said.get("status_msg")
    return words if isinstance(words, str) and words else human_text(said)


def _listed(items: list[Any]) -> str | None:
    """Return the words of several complaints, each with the field it is about."""
    said = []
    for item in items:
        words = (item.get("msg") if isinstance(item, Mapping) else None) or human_text(item)
        where = item.get("loc") if isinstance(item, Mapping) else None
        if isinstance(words, str) and isinstance(where, list) and where:
            words = f"{'.'.join(map(str, where))}: {words}"
        if isinstance(words, str) and words:
            said.append(words)
    return "; ".join(said) or None


def _words_of_upstream(error: Mapping[str, Any]) -> str | None:
    """Return the reason a gateway wraps up (https://openrouter.ai/docs/api-reference/errors)."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    words = human_text(_decoded(raw)) if raw else None
    message = error.get("message")
    if not words or not isinstance(message, str) or words in message:
        return words
    return _trim(f"{message.rstrip('.')}: {words}")


def _decoded(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _codes(body: object) -> set[str]:
    """Return the codes and types of an error, and of the upstream's inside it."""
    inner = _inner(body)
    if not isinstance(inner, Mapping):
        return {inner.strip().lstrip(":").lower()} if isinstance(inner, str) else set()
    values = (inner.get("code"), inner.get("type"), inner.get("status"))
    codes = {value.strip().lstrip(":").lower() for value in values if isinstance(value, str)}
    metadata = inner.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return codes | _codes(_decoded(raw)) if raw else codes


def _meant(status: int, body: object, text: str) -> int:
    """Return the status the error means, where gateways answer with one that does not fit.

    No credits is no matter of waiting, and a bad request none of the server's, whatever the
    status says: both would be sent again, in vain.
    """
    spoken = {STATUS_OF_TYPE[code] for code in _codes(body) & STATUS_OF_TYPE.keys()}
    if 402 in spoken or (status in (400, 403, 429, 500) and NO_CREDITS.search(text)):
        return 402
    refusals = sorted(s for s in spoken if 400 <= s < 500 and s not in (408, 429))
    return refusals[0] if status == 500 and refusals else status


def mentions(value: Any, secret: str) -> bool:
    """Whether a decoded body, or words, hold a secret; nothing is copied to find out."""
    if isinstance(value, str):
        return secret in value
    if isinstance(value, dict):
        return any(
            mentions(each, secret) or (isinstance(name, str) and secret in name)
            for name, each in value.items()
        )
    return isinstance(value, list) and any(mentions(each, secret) for each in value)


def hide(value: Any, secret: str) -> Any:
    """Return a decoded body, or words, without a secret that the server has repeated."""
    if isinstance(value, str):
        return value.replace(secret, "***")
    if isinstance(value, Mapping):
        return {hide(name, secret): hide(each, secret) for name, each in value.items()}
    return [hide(each, secret) for each in value] if isinstance(value, list) else value


def status_error(
    body: object, *, response: Any = None, status: int | None = None, request: Any = None
) -> errors.APIStatusError:
    """Build the error for an HTTP error answer, or for an error object inside a success.

    `body` is the decoded JSON, or the text where it is none. Without `response` the status is
    read off the error's code or type.
    """
    real_status = getattr(response, "status_code", None)
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
        body = body[0]  # as Gemini's do
    code = real_status if real_status and real_status >= 300 else status or spoken_status(body)
    text = human_text(body) or f"Oxen answered with status {code} and no explanation."
    if _is_page(body):
        text = f"Oxen, or something before it, answered with status {code}: {text}."
    kwargs: dict[str, Any] = {"body": _inner(body), "status_code": code, "request": request}
    kwargs["response"] = response if real_status and real_status >= 300 else None

    if _codes(body) & CONTEXT_OVERFLOW_CODES or (
        CONTEXT_OVERFLOW.search(text) and (code in (400, 413, 422) or code >= 500)
    ):
        return errors.ContextOverflowError(text, **kwargs)
    if code in (400, 404) and MODEL_NOT_FOUND.match(text):
        return errors.ModelNotFoundError(text, **kwargs)
    meant = _meant(code, body, text)
    next_step = _NEXT_STEP.get(meant)
    if meant >= 500:
        next_step = _NEXT_STEP[408] if _is_page(body) else _FAILED.format(meant)
    if next_step:
        text = f"{text.rstrip('.')}. {next_step}"
    cls = BY_STATUS.get(meant)
    if cls is None:
        server_side = meant >= 500
        cls = errors.InternalServerError if server_side else errors.APIStatusError
    error = cls(text, **kwargs)
    if isinstance(error, errors.RateLimitError) and error.retry_after:
        error.message = f"{text.rstrip('.')}. Oxen asks to wait {error.retry_after:.3g} s."
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
