"""Keys of a run's requests, and which failures are worth buying again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from oxen_inference.errors import GenerationFailed, OxenError
from oxen_inference.ledger.names import shortened
from oxen_inference.media.fingerprints import caller_parameters, fingerprint
from oxen_inference.result import MediaResult

_HASH_LENGTH = 20  # hex digits
# Sent again, these would fail again: the input is refused, or there is no money.
_LASTING = re.compile(
    r"\b(?:400|401|402|403|404|405|413|415|422)\b(?: -| client error)"  # a wrapped status
    r"|moderat|safety|nsfw|sensitive|inappropriate|content.?polic|policy violation|violat\w* .*polic"
    r"|prohibited|flagged|blocked|copyright|data.?inspection|responsible ai"
    r"|credit|insufficient|balance|quota|billing|payment|unauthori[sz]ed|forbidden|api.?key"
    r"|invalid|validation|value error|unsupported|not supported|not allowed|unknown parameter"
    r"|must be|must have|is required|are required|missing|not found|no such|does not exist"
    r"|too (?:long|large|big|small|short|many)|out of range|exceeds|less than|greater than"
    r"|(?:cannot|could not|failed to|unable to) (?:read|decode|load|fetch|download|open|identify)",
    re.IGNORECASE,
)
_VARYING = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{16,}\b|\d+", re.IGNORECASE)  # fmt: skip

# A URL up to its path, and a file's path, which may be quoted: each result has its own.
_PLACE = re.compile(
    r"""(?P<host>\b[a-z][a-z0-9+.-]*://[^\s/?#'"<>]*)[^\s'"<>]*|(['"])/.*?\2|(?<![\w/])/[^\s'"]+""",
    re.IGNORECASE,
)


class ContentKeys:
    """Gives each request of a run a key: the prefix, a hash of the content, and how often that
    content came before, so that neither another order nor a wanted repetition changes the keys.
    """

    def __init__(self, prefix: str) -> None:
        self.beginning = f"{prefix}:"
        self._seen: Counter[int] = Counter()  # numbers are smaller than the hashes' texts

    def key(self, model: str, params: Mapping[str, Any]) -> str:
        """Return the key of the next request of this content; `params` are in their stable form."""
        digest = fingerprint(caller_parameters(model, params))[:_HASH_LENGTH]
        short = int(digest[:15], 16)
        self._seen[short] += 1
        return f"{self.beginning}{digest}:{self._seen[short]}"


def derived_key(key: str | None, attempt: int) -> str | None:
    """Return the key of an attempt; the first has the request's own."""
    return key if key is None or attempt == 1 else shortened(f"{key}#{attempt}")


def may_pass_another_time(error: OxenError) -> bool:
    """Whether the hub confirmed that nothing was made, for a reason that may not be there again."""
    if not isinstance(error, GenerationFailed) or error.result is None:
        return False
    return _failed_for_now(error.result)


def _failed_for_now(result: MediaResult) -> bool:
    return bool(result.items) and all(
        item.status == "failed" and not _LASTING.search(item.error or "") for item in result.items
    )


def signature(error: OxenError) -> tuple[type, str]:
    """Return what equal failures have in common: no ids and no numbers."""
    return type(error), _VARYING.sub("…", _reasons(error))


def group_of(error: OxenError) -> tuple[type, str]:
    """Return under what a summary counts a failure: what it says without ids, numbers and the
    places that each result has of its own, however many of its results failed so.
    """
    reasons = _reasons(error)
    result: MediaResult | None = getattr(error, "result", None)
    if result is not None:
        for generation_id in result.generation_ids:
            reasons = reasons.replace(f"{generation_id}: ", "; ").replace(generation_id, "…")
    reasons = _PLACE.sub(lambda found: found["host"] or "…", reasons)
    each = (reason.strip(" .:") for reason in _VARYING.sub("…", reasons).split(";"))
    return type(error), "; ".join(dict.fromkeys(filter(None, each)))


def _reasons(error: OxenError) -> str:
    if isinstance(error, GenerationFailed) and error.result is not None:
        return "; ".join(dict.fromkeys(item.error or "" for item in error.result.items))
    return error.message
