"""How a notebook shows what was made and what it costs.

Everything is escaped: prompts and errors come from anywhere. Images, videos and audio are shown
from their bytes, or from a public address; a private one is only named, and not loaded.
"""

from __future__ import annotations

import base64
import html
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_MOST_BYTES_SHOWN = 8_000_000  # a notebook stores what it shows
_MOST_SHOWN = 50
_LONGEST_TEXT = 500  # characters


class ShownList(list[T]):
    """A list that a notebook shows as a table of its first items."""

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>{n}</td><td>{of(each)}</td></tr>" for n, each in self._first())
        rest = len(self) - _MOST_SHOWN
        more = f"<p>and {rest:,} more</p>" if rest > 0 else ""
        return f"<table>{cells}</table>{more}"

    def _first(self) -> Iterable[tuple[int, T]]:
        return enumerate(self[:_MOST_SHOWN])


def of(value: object) -> str:
    """Return the HTML of anything: its own, or its text."""
    own = getattr(value, "_repr_html_", None)
    return str(own()) if own is not None else f"<pre>{text(str(value))}</pre>"


def text(value: object) -> str:
    """Return a text, shortened where it is long, and escaped."""
    shown = str(value)
    return html.escape(shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]}…")


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values, without those that are None, as a table."""
    cells = (
        f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table>{''.join(cells)}</table>"


def media(
    kind: str,
    mime_type: str | None,
    content: bytes | None,
    path: Path | None,
    url: str | None,
    otherwise: str,
) -> str:
    """Return a player or an image, a link, or the text `otherwise`."""
    source = _source(kind, mime_type, content, path, url)
    if source is not None:
        address = html.escape(source, quote=True)
        if kind == "video":
            return f'<video controls loop style="max-width: 100%" src="{address}"></video>'
        if kind == "audio":
            return f'<audio controls src="{address}"></audio>'
        return f'<img style="max-width: 100%" src="{address}">'
    where = path or (url if url is not None and not url.lower().startswith("data:") else None)
    return f"<p>{text(where or otherwise)}</p>"


def _source(
    kind: str, mime_type: str | None, content: bytes | None, path: Path | None, url: str | None
) -> str | None:
    if content is None and path is not None:
        content = _read(path)
    if content is not None and len(content) <= _MOST_BYTES_SHOWN:
        encoded = base64.b64encode(content).decode()
        return f"data:{mime_type or 'application/octet-stream'};base64,{encoded}"
    if url is None or len(url) > 2 * _MOST_BYTES_SHOWN:
        return None
    is_inside = url.lower().startswith(f"data:{kind}/")
    return url if is_inside or (path is None and _is_public(url)) else None


def _is_public(url: str) -> bool:
    """Whether a browser may ask for it: no machine of a private network, and no file of a hub,
    which would have to be asked with the key.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme.lower() != "https" or parts.username is not None or "/api/" in parts.path:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        # Names under these are of this machine or its network.
        return not host.endswith((".local", ".localhost", ".internal")) and host != "localhost"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= _MOST_BYTES_SHOWN else None
    except OSError:
        return None
