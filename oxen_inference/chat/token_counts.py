"""Estimates of tokens, without the models' tokenizers, which are not public."""

from __future__ import annotations

import re

from oxen_inference.chat.files import MediaKind

# Chinese, Japanese and Korean: about one token for each character.
_IDEOGRAPHS = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)
# Other scripts than Latin: about two characters for each token.
_OTHER_SCRIPTS = re.compile("[\u0370-\u10ff\u1200-\u1dff\ua4d0-\uabff\U00010000-\U0001ffff]")

_KB, _MB = 1_000, 1_000_000
# By kind: tokens of files up to a size in bytes. Providers count pages and seconds, which a file
# shows only when it is read.
_MEDIA: dict[MediaKind, tuple[tuple[float, int], ...]] = {
    "image": ((100 * _KB, 800), (float("inf"), 1_600)),
    "audio": ((100 * _KB, 300), (_MB, 1_500), (5 * _MB, 8_000), (float("inf"), 25_000)),
    "video": ((_MB, 2_500), (5 * _MB, 10_000), (20 * _MB, 30_000), (float("inf"), 60_000)),
    "file": ((100 * _KB, 3_000), (_MB, 12_000), (5 * _MB, 25_000), (float("inf"), 50_000)),
}
_LOW_DETAIL_IMAGE = 85
_UNKNOWN_SIZE = 500 * _KB


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has: four Latin characters each."""
    if text.isascii():
        return -(-len(text) // 4)
    ideographs = len(_IDEOGRAPHS.findall(text))
    others = len(_OTHER_SCRIPTS.findall(text))
    return ideographs - (-(len(text) - ideographs + others) // 4)


def media_tokens(kind: MediaKind, size: int | None = None, *, detail: str | None = None) -> int:
    """Return about how many tokens a file has. `size`: bytes, or None for one that has a URL."""
    if kind == "image" and detail == "low":
        return _LOW_DETAIL_IMAGE
    size = _UNKNOWN_SIZE if size is None else size
    return next(tokens for limit, tokens in _MEDIA[kind] if size <= limit)
