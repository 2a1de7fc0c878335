"""One self-contained page about what was made, what it cost, and when: `client.media.report`.

Everything that comes from a hub or a prompt is escaped, nothing is loaded from outside, and the
page's own script is the only one that its policy allows.
"""

from __future__ import annotations

import base64
import html
import io
import os
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oxen_inference.ledger.entries import Entry
from oxen_inference.media.report_page import PAGE
from oxen_inference.money import usd
from oxen_inference.result import MediaItem, known_cost

OnPart = Callable[[int, int], Any]
"""Is told how many are done, and of how many."""

MOST_SHOWN = 2_000
_THUMBNAIL = 480  # pixels
_MOST_THUMBNAILS = 100
"""To make one takes some hundredths of a second; later images are loaded from their files."""
_MOST_EMBEDDED = 300_000  # bytes of a file that cannot be made smaller
_PARAMETERS_SHOWN = 300  # characters
_URL = re.compile(
    r"""\b(https?://)(?:[^\s/?#@'"<>]*@)?([^\s?#'"<>]*)(?:[?#][^\s'"<>)\]}]*)?""", re.IGNORECASE
)
_CHART = (720, 200, 56, 24)  # width, height, left and bottom margins


def render(
    entries: Sequence[Entry],
    folder: Path,
    *,
    title: str = "Made with Oxen",
    on_progress: OnPart | None = None,
) -> str:
    """Return the page about entries, newest first, which is to be saved in `folder`.

    Shows at most `MOST_SHOWN` requests, the first `_MOST_THUMBNAILS` images of them inside the
    page; the totals are of all.
    """
    items = [item for entry in entries for item in entry.items]
    total = known_cost(items)
    shown = entries[:MOST_SHOWN]
    cards: list[str] = []
    thumbnails = _Thumbnails()
    for number, entry in enumerate(shown, start=1):
        cards += [_card(entry, item, folder, thumbnails) for item in _items(entry)]
        if on_progress is not None:
            on_progress(number, len(shown))
    more = f" The newest {len(shown):,} are shown." if len(shown) < len(entries) else ""
    unknown = sum(item.cost is None for item in items)
    succeeded, failed = _ends(items)
    facts = [
        f"{len(entries):,} requests, {succeeded:,} results, {failed:,} failed.{more}",
        f"{unknown:,} of unknown cost." if unknown else "",
    ]
    return PAGE.substitute(
        nonce=secrets.token_urlsafe(12),
        title=_text(title),
        total=usd(total),
        exact=f"{total:f}",
        facts=_text(" ".join(filter(None, facts))),
        written=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        models=_options(sorted({entry.model for entry in shown})),
        statuses=_options(sorted({item.status for e in shown for item in _items(e)})),
        by_model=_totals((entry.model, entry) for entry in entries),
        by_day=_totals((_day(entry.created_at), entry) for entry in entries),
        chart=_chart(entries),
        cards="\n".join(cards) or "<p>There is nothing in the ledger yet.</p>",
    )


def write(
    entries: Sequence[Entry], path: str | os.PathLike[str], on_progress: OnPart | None = None
) -> Path:
    """Write the page to a file, whole or not at all, and return its path. Raises `OSError`.

    `on_progress` is told how many requests of how many are done.
    """
    target = Path(path).expanduser().absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        page = render(entries, target.parent, on_progress=on_progress)
        part.write_text(page, encoding="utf-8", errors="replace")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _items(entry: Entry) -> tuple[MediaItem, ...]:
    """Return what to show of a request: its results, or what became of it before there were any."""
    if entry.items:
        return entry.items
    message = str((entry.error or {}).get("message") or "")
    return (MediaItem(status=entry.state, error=message or None),)


def _card(entry: Entry, item: MediaItem, folder: Path, thumbnails: _Thumbnails) -> str:
    cost = "cost unknown" if item.cost is None else usd(item.cost)
    if not entry.items:
        cost = f"{usd(entry.reserved)} reserved" if entry.reserved else "nothing bought"
    names = ("model", "prompt")
    prompt = _without_signatures(entry.prompt or "")
    params = ", ".join(
        f"{k}={_without_signatures(str(v))}" for k, v in entry.request.items() if k not in names
    )
    seed = "" if item.seed is None or "seed" in entry.request else f"seed={item.seed}"
    details = ", ".join(filter(None, (params, seed)))
    search = f"{prompt} {entry.key or ''} {details} {item.generation_id or ''}".lower()
    lines = [
        f'<p class="prompt">{_text(prompt or "no prompt")}</p>',
        f'<p class="cost">{_text(cost)} <span class="status {_status_class(item)}">{_text(item.status)}</span></p>',
        f"<p>{_text(entry.model)} · {_text(_moment(entry.created_at))}</p>",
    ]
    lines += (
        [f'<p class="error">{_text(_without_signatures(item.error))}</p>'] if item.error else []
    )
    lines += [f'<p class="details">{_text(_cut(details))}</p>'] if details else []
    lines += [f'<p class="details">{_text(item.generation_id)}</p>'] if item.generation_id else []
    return (
        f'<article data-model="{_text(entry.model)}" data-status="{_text(item.status)}" '
        f'data-text="{_text(search)}">{_media(entry, item, folder, thumbnails)}<div>{"".join(lines)}</div></article>'
    )


def _media(entry: Entry, item: MediaItem, folder: Path, thumbnails: _Thumbnails) -> str:
    path = item.path
    if path is None or not path.is_file():
        where = item.saved_url or (
            "not saved on this machine" if item.status == "succeeded" else ""
        )
        return f'<div class="none">{_text(where or item.status)}</div>'
    kind = (item.mime_type or entry.media_type).partition("/")[0]
    address = _text(_address(path, folder))
    if kind == "video":
        return f'<video controls preload="metadata" src="{address}"></video>'
    if kind == "audio":
        return f'<audio controls preload="none" src="{address}"></audio>'
    source = thumbnails.of(path, item.mime_type)
    label = _text(_cut(_without_signatures(entry.prompt or entry.model)))
    inner = f'<img loading="lazy" alt="{label}" src="{_text(source) if source else address}">'
    return f'<a href="{address}">{inner}</a>'


def _without_signatures(text: str) -> str:
    """Return a text whose URLs have no user and no query: the page is made to be shared, and either
    may open what is private.
    """
    return _URL.sub(r"\1\2", text)


class _Thumbnails:
    """The images inside the page, so many at the most: neither time nor memory grows with more."""

    def __init__(self) -> None:
        self._left = _MOST_THUMBNAILS

    def of(self, path: Path, mime_type: str | None) -> str | None:
        """Return an image as a small data URL; None where it is to be loaded from its file."""
        if self._left <= 0:
            return None
        self._left -= 1
        return _thumbnail(path, mime_type)


def _thumbnail(path: Path, mime_type: str | None) -> str | None:
    """Return an image as a small data URL; None where it is large and Pillow is not there."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return _whole(path, mime_type)
    try:
        with Image.open(path) as image:
            image.thumbnail((_THUMBNAIL, _THUMBNAIL))
            written = io.BytesIO()
            image.convert("RGB").save(written, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        return _whole(path, mime_type)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def _whole(path: Path, mime_type: str | None) -> str | None:
    try:
        if path.stat().st_size > _MOST_EMBEDDED:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return f"data:{mime_type or 'image/png'};base64,{base64.b64encode(content).decode()}"


def _address(path: Path, folder: Path) -> str:
    """Return a file's address as the page has it: relative, so that a folder can be moved."""
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.as_uri()
    return quote(relative)


def _ends(items: Iterable[MediaItem]) -> tuple[int, int]:
    """Return how many succeeded and how many failed; what runs is neither."""
    ended = [item.status == "succeeded" for item in items if item.is_terminal]
    return sum(ended), len(ended) - sum(ended)


def _totals(parts: Iterable[tuple[str, Entry]]) -> str:
    counted: dict[str, list[MediaItem]] = defaultdict(list)
    for name, entry in parts:
        counted[name] += entry.items
    rows = []
    for name, items in sorted(counted.items(), key=lambda each: each[0], reverse=True):
        succeeded, failed = _ends(items)
        rows.append(
            f"<tr><th>{_text(name)}</th><td>{succeeded:,}</td><td>{failed:,}</td>"
            f"<td>{_text(usd(known_cost(items)))}</td></tr>"
        )
    return "".join(rows)


def _chart(entries: Sequence[Entry]) -> str:
    """Return the money spent so far, over time, as a drawing."""
    spent = sorted((entry.created_at, known_cost(entry.items)) for entry in entries)
    total = sum((cost for _, cost in spent), Decimal(0))
    if not total or len(spent) < 2:
        return ""
    width, height, left, bottom = _CHART
    first, last = spent[0][0], spent[-1][0]
    span = (last - first) or 1.0
    points, sofar = [f"{left},{height - bottom}"], Decimal(0)
    step = max(len(spent) // 500, 1)
    for number, (moment, cost) in enumerate(spent):
        sofar += cost
        if number % step and number != len(spent) - 1:
            continue
        x = left + (moment - first) / span * (width - left - 8)
        y = (height - bottom) - float(sofar / total) * (height - bottom - 16)
        points.append(f"{x:.1f},{y:.1f}")
    area = f"{' '.join(points)} {points[-1].partition(',')[0]},{height - bottom}"
    labels = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{_text(text)}</text>'
        for x, y, anchor, text in (
            (left - 6, 20, "end", usd(total)),
            (left - 6, height - bottom, "end", "$0"),
            (left, height - 6, "start", _moment(first)),
            (width - 8, height - 6, "end", _moment(last)),
        )
    )
    return (
        f'<figure><figcaption>Spent so far</figcaption><svg viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Spent so far: {_text(usd(total))}">'
        f'<line class="axis" x1="{left}" y1="{height - bottom}" x2="{width - 8}" y2="{height - bottom}"/>'
        f'<polygon class="area" points="{area}"/><polyline class="line" points="{" ".join(points)}"/>'
        f"{labels}</svg></figure>"
    )


def _options(names: Iterable[str]) -> str:
    return "".join(f"<option>{_text(name)}</option>" for name in names)


def _status_class(item: MediaItem) -> str:
    if item.status == "succeeded":
        return "good"
    return "bad" if item.is_terminal or item.status in ("rejected", "unknown") else "open"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%d %H:%M} UTC"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%d}"


def _cut(text: str) -> str:
    return text if len(text) <= _PARAMETERS_SHOWN else f"{text[:_PARAMETERS_SHOWN]}…"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
