"""What a provider's complaint about an input means, and which parameter it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NOT_PUBLIC = re.compile(r"forbidden for url:?\s*(?P<url>[^\s'\"<>]+)?", re.IGNORECASE)
# Said with the URL itself, since a time-out may be that of the job.
_NOT_FETCHED = re.compile(
    r"time[d -]*out|could not (?:be )?(?:download|fetch|access|read)|failed to (?:download|fetch|load)"
    r"|unable to (?:download|fetch|access)|cannot (?:be )?(?:download|fetch|access)",
    re.IGNORECASE,
)
_WRONG_SCHEME = re.compile(r"(?:unsupported|invalid)[_ ]url[_ ]scheme", re.IGNORECASE)
_CONTENT = re.compile(r"DataInspectionFailed|inappropriate content|content (?:policy|moderation)", re.IGNORECASE)  # fmt: skip
_FACE = re.compile(r"(?:^|[_.])faces?(?:[_.]|$)", re.IGNORECASE)
_INLINE = re.compile(r"(?:data|sha256):", re.IGNORECASE)  # the ledger keeps long ones as digests
_URL = re.compile(r"https?:", re.IGNORECASE)
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong, as an end of the message, and what to do about it."""

    addition: str
    hint: str


def takes_public_urls_only(name: str) -> bool:
    """Whether a parameter is for a face, which providers take from public URLs only."""
    return bool(_FACE.search(name))


def read_complaint(text: str, request: Mapping[str, Any]) -> Complaint | None:
    """Return what an error's text says of the inputs of its request; None if nothing."""
    given = list(_texts(request))
    if _WRONG_SCHEME.search(text):
        names = _names(given, lambda name, value: bool(_INLINE.match(value) and _FACE.search(name)))
        names = names or _names(given, lambda _, value: bool(_INLINE.match(value)))
        return _complaint(names, "takes public URLs only", "Give it as a public URL: no data URL.")
    forbidden = _NOT_PUBLIC.search(text)
    url = (forbidden["url"] or "").rstrip(".,;)") if forbidden else ""
    is_named = bool(forbidden or _NOT_FETCHED.search(text))
    names = _names(given, lambda _, value: is_named and _is_about(value, url or text))
    if forbidden and not names:
        names = _names(given, lambda _, value: bool(_URL.match(value)))
    if names:
        hint = "Make it public"
        if not any(map(takes_public_urls_only, names)):
            hint += ", or pass inline_inputs=True, which sends a result of yours inside the request"
        return _complaint(names, "could not be fetched by the model's provider", f"{hint}.")
    if _CONTENT.search(text):
        return Complaint(
            "", "The provider's content check refused the prompt or an input: change it."
        )
    return None


def _complaint(names: list[str], what: str, hint: str) -> Complaint | None:
    if not names:
        return None
    shown = ", ".join(names[:_MOST_NAMED])
    return Complaint(f" {shown} {what}.", f"{shown}: {hint[0].lower()}{hint[1:]}")


def _is_about(value: str, text: str) -> bool:
    address = value.partition("?")[0]
    return bool(_URL.match(value)) and len(address) > len("https://") and address in text


def _names(given: list[tuple[str, str]], matches: Any) -> list[str]:
    return list(dict.fromkeys(name for name, value in given if matches(name, value)))


def _texts(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return every text of a request but its prompt, with the parameter that it is in."""
    for name, value in request.items():
        if name not in ("model", "prompt", "input", "negative_prompt"):
            yield from ((name, text) for text in _texts_in(value))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)
