"""Which error an answer is: its class, its message and its hint, each from a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oxen_inference import errors
from oxen_inference.error_body import (
    error_codes,
    error_object,
    human_text,
    is_page,
    normalize_code,
)
from oxen_inference.settings import KEYS_PAGE

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
    # … and those of the providers whose errors it passes on inside a 200.
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
    r"|exceed(?:s|ed|ing)? (?:the |this |its )?(?:available |allowed |model'?s? )?"
    r"(?:maximum |max )?context[ _](?:window|length|size|limit)"  # SGLang, Cloudflare, Ollama
    r"|context[ _](?:window|length|size|limit).{0,20}exceed"
    r"|input token count .{0,40}exceeds the maximum"  # Google
    r"|maximum (?:prompt|input|sequence) length"  # xAI, TGI
    r"|too many tokens(?!, please wait)|input is too long"  # Cohere, Bedrock (which throttles so)
    r"|exceeds the maximum number of tokens|exceeded model token limit"  # Vertex, Moonshot
    r"|context window exceeds|prompt exceeds max length|more than max tokens allowed"  # MiniMax, GLM
    r"|tokens \+ `?max_new_tokens`? must be|must have less than \d+ tokens"  # TGI
    r"|string too long\. expected a string with maximum length"  # OpenAI, a single string
    r"|range of input length should be"  # Qwen
    r"|longer than the maximum model length|max_model_len|max_seq_len"  # vLLM, TensorRT-LLM
    r"|(?:is )?(?:longer|greater|larger) than (?:the )?(?:model'?s? )?(?:maximum )?context"
    r"|number of input tokens.{0,60}(?:exceed|larger|greater|more) "  # watsonx, NIM
    r"|input (?:length|tokens?).{0,60}exceeds? .{0,40}(?:maximum|limit|allowed)"
    r"|context ?window ?exceeded|overflows? the context|requested tokens.{0,20}exceed context"
    r"|(?:exceeds?|exceeded|over) (?:the )?max(?:imum)? (?:message |input |prompt )?tokens?\b"  # Volcengine
    r"|max(?:imum)? input (?:characters|tokens?) is"  # Baidu
    # Zhipu, Baidu, Hunyuan, DashScope and gateways in China
    r"|(?:超过|超出|超过了|超出了|超).{0,20}(?:上下文|最大长度|最大输入|长度限制|token ?(?:数|数量|限制|上限))"
    r"|(?:上下文|输入|提示词|对话|会话|消息|prompt|(?<!_)tokens?) ?(?:的)?(?:长度|内容|文本|数量?|总数)?"
    r"(?:(?!图|文件|视频|音频|频率).){0,8}"
    r"(?:过长|太长|超长|超限|超过|超出|过大|超上限)"
    r"|number of tokens in the prompt exceeds|(?:prompt|input) tokens? (?:limit )?exceed"
    r"|(?:prompt|input|request).{0,40}(?:longer|larger) than .{0,40}context"
    r"|reduce the length of the (?:messages|input|prompt)",
    re.IGNORECASE,
)
CONTEXT_OVERFLOW_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "contextwindowexceedederror",  # LiteLLM
    "exceed_context_size_error",  # llama.cpp
    "context_too_long",
    "input_too_long",
    "prompt_too_long",
    "context_limit_exceeded",
    "model_context_window_exceeded",
}
MODEL_NOT_FOUND = re.compile(r"^model not found: ?(?P<model>.+)$", re.IGNORECASE)

NO_CREDITS = re.compile(
    r"insufficient (?:credits|funds|balance|quota)|out of credits", re.IGNORECASE
)
_LONGEST_LOCATION = 500  # characters
_ERROR_STATUS = re.compile(r"[45]\d\d")

# How a provider's answer reads inside the hub's (https://docs.oxen.ai, video generation), and the
# words of the library that many hubs call providers with.
_WRAPPED = re.compile(
    r"model response error:?\s*(?:http |status |code |status code )*[:=]?\s*(?P<status>[45]\d\d)\b"
    # Of an input that is not public. Any other status may be that of a job which was begun.
    r"|\b(?P<client>403) Client Error: Forbidden for url:",
    re.IGNORECASE,
)
REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 406, 411, 413, 414, 415, 422, 431})
"""What HTTP and the hub's documentation define as "not done"."""
# A provider that refuses Oxen's own key or account says nothing of the caller's.
_NOT_THE_CALLER_S = frozenset({401, 402, 403, 405})

_HINT_OF_STATUS = {
    401: f"Check the API key: {KEYS_PAGE}",
    402: "Add credits at https://oxen.ai/settings, or name another target_namespace to bill.",
    403: "Check what the API key may do, and the namespace.",
    407: "Put the proxy's user name and password into HTTPS_PROXY.",
    408: "Try again.",
    413: "Send less, or public URLs in place of the files themselves.",
    429: "Wait before you send the next request.",
}
_HINT_OF_SERVER_ERROR = "Oxen or the provider behind it failed (status {}). Try again later."
_HINT_OF_PAGE = "Check base_url, and any proxy between you and Oxen: a web page is not Oxen's API."
_HINT_OF_REDIRECT = "Set base_url to the address it redirects to, if you trust that one: {}"
_HINT_OF_OVERFLOW = "Shorten the conversation, or choose a model with a longer context."
_HINT_OF_WRAPPED = "The model's provider refused the request: change what the message names."
_HINT_OF_UNKNOWN_MODEL = "`oxen-inference models` lists the models."


def status_error(
    body: object, *, response: Any = None, status: int | None = None, request: Any = None
) -> errors.APIStatusError:
    """Build the error for an HTTP error answer, or for an error object inside a success.

    `body` is the decoded JSON, or the text where it is not JSON. Without `response` the status
    comes from the error's code or type.
    """
    real_status = getattr(response, "status_code", None)
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
        body = body[0]  # as Gemini's do
    code = real_status if real_status and real_status >= 300 else status or stated_status(body)
    text = human_text(body) or f"Oxen answered with status {code} and no explanation."
    if 300 <= code < 400:
        text = f"Oxen answered with a redirect (status {code}), which is not followed."
    elif is_page(body):
        text = f"Oxen, or a proxy before it, answered with status {code}: {text}."
    kwargs: dict[str, Any] = {"body": error_object(body), "status_code": code, "request": request}
    kwargs["response"] = response if real_status and real_status >= 300 else None
    inner = _inner_status(code, body, text)
    if inner is not None:
        return _wrapped_error(inner, text, kwargs)

    if error_codes(body) & CONTEXT_OVERFLOW_CODES or (
        CONTEXT_OVERFLOW.search(text) and (code in (400, 413, 422) or code >= 500)
    ):
        return errors.ContextOverflowError(text, hint=_HINT_OF_OVERFLOW, **kwargs)
    if code in (400, 404) and MODEL_NOT_FOUND.match(text):
        return errors.ModelNotFoundError(text, hint=_HINT_OF_UNKNOWN_MODEL, **kwargs)
    effective = _effective_status(code, body, text)
    cls = BY_STATUS.get(effective)
    if cls is None:
        cls = errors.InternalServerError if effective >= 500 else errors.APIStatusError
    error = cls(text, hint=_hint(effective, body), **kwargs)
    if 300 <= code < 400:
        location = getattr(response, "headers", {}).get("location", "an address it does not name")
        error.hint = _HINT_OF_REDIRECT.format(location[:_LONGEST_LOCATION])
    if isinstance(error, errors.RateLimitError) and error.retry_after:
        error.hint = f"Wait {error.retry_after:.3g} seconds, as Oxen asks."
    return error


def _inner_status(outer: int, body: object, text: str) -> int | None:
    """Return the status that the model's provider answered with, where the hub wraps its refusal.

    Only one that says more than the hub's own: a refusal, or a limit, inside a failure.
    """
    if outer < 500 and outer != 400:
        return None
    found = _WRAPPED.search(text)
    stated = found and (found["status"] or found["client"])
    if not stated and outer >= 500:
        numbers = (body.get("status"), body.get("status_code")) if isinstance(body, Mapping) else ()
        stated = next((str(n) for n in numbers if isinstance(n, int | str)), "")
    status = int(stated) if stated and _ERROR_STATUS.fullmatch(stated) else outer
    is_clearer = status in REFUSALS or status == 429
    return status if is_clearer and status != outer else None


def _wrapped_error(inner: int, text: str, kwargs: dict[str, Any]) -> errors.APIStatusError:
    if CONTEXT_OVERFLOW.search(text):
        error: errors.APIStatusError = errors.ContextOverflowError(
            text, hint=_HINT_OF_OVERFLOW, **kwargs
        )
    else:
        cls = errors.BadRequestError if inner in _NOT_THE_CALLER_S else BY_STATUS.get(inner)
        hint = _HINT_OF_STATUS[429] if inner == 429 else _HINT_OF_WRAPPED
        error = (cls or errors.BadRequestError)(text, hint=hint, **kwargs)
    error.status_code = inner
    return error


def stated_status(body: object) -> int:
    """Return the status an error object states: its numeric code, else its type's, else 500.

    The hub that wraps a provider's refusal has failed itself: `_inner_status` reads what is inside.
    """
    text = human_text(body) or ""
    if wrapped := _WRAPPED.search(text):
        return max(500, int(wrapped["status"] or wrapped["client"]))
    error = error_object(body)
    outer = body if isinstance(body, Mapping) else {}
    fields = error if isinstance(error, Mapping) else {}
    numbers = [
        part.get(name) for part in (fields, outer) for name in ("code", "status", "status_code")
    ]
    for value in numbers:
        if isinstance(value, int | str) and _ERROR_STATUS.fullmatch(str(value)):
            return int(value)
    detail = fields.get("detail")
    codes = (fields.get("type"), fields.get("code"), outer.get("status_message"), error, detail)
    for value in codes:
        if isinstance(value, str) and (known := STATUS_OF_TYPE.get(normalize_code(value))):
            return known
    if MODEL_NOT_FOUND.match(text):
        return 404
    if NO_CREDITS.search(text):
        return 402
    # An error that is a detail alone speaks of the request.
    return 400 if CONTEXT_OVERFLOW.search(text) or has_detail_alone(body) else 500


def has_detail_alone(body: object) -> bool:
    """Whether an error has a detail, and nothing that says of what kind it is."""
    error = error_object(body)
    if error is body or not isinstance(error, Mapping):
        return False
    return [name for name, value in error.items() if value] == ["detail"]


def error_in_success(payload: object) -> errors.APIStatusError | None:
    """Return the error hidden in a 2xx JSON body, if it is one."""
    if not isinstance(payload, Mapping):
        return None
    if payload.get("error") or payload.get("status") == "error":
        return status_error(payload)
    return None


def _effective_status(status: int, body: object, text: str) -> int:
    """Return the status that fits the error, where gateways answer with one that does not.

    Waiting does not bring credits, and a bad request stays one: under the status of a passing
    failure both would be sent again, in vain.
    """
    stated = {STATUS_OF_TYPE[code] for code in error_codes(body) & STATUS_OF_TYPE.keys()}
    if 402 in stated or (status in (400, 403, 429, 500) and NO_CREDITS.search(text)):
        return 402
    refusals = sorted(s for s in stated if 400 <= s < 500 and s not in (408, 429))
    return refusals[0] if status == 500 and refusals else status


def _hint(status: int, body: object) -> str | None:
    if is_page(body) and status not in (407, 408, 413, 429):
        return _HINT_OF_STATUS[408] if status >= 500 else _HINT_OF_PAGE
    if status >= 500:
        return _HINT_OF_SERVER_ERROR.format(status)
    return _HINT_OF_STATUS.get(status)
