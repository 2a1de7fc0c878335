"""What a paid request made, and how far it is: data that can be shown, stored and sent."""

from __future__ import annotations

import io
import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from typing_extensions import Self

from oxen_inference import notebook
from oxen_inference.generation import MEDIA_TYPES, TERMINAL, Generation
from oxen_inference.money import usd

_LONGEST_DATA_URL_SHOWN = 60  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaItem:
    """One image, video or audio file.

    `status` is the hub's word. Sizes are pixels and bytes, `duration` seconds, `cost` USD, None
    meaning not known. `url` is temporary, `saved_url` where it was saved outside
    this machine. `content` holds the bytes of a direct result that was
    saved nowhere else; it is left out of `to_dict` and `repr`.
    """

    generation_id: str | None = None
    status: str = "queued"
    url: str | None = None
    path: Path | None = None
    saved_url: str | None = None
    mime_type: str | None = None
    sha256: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    seed: int | None = None
    cost: Decimal | None = None
    error: str | None = None
    content: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it can change any more: it has ended, and its cost is known."""
        return self.is_terminal and self.cost is not None

    def updated(self, row: Generation) -> Self:
        """Return the item as the hub now describes it; what it leaves out is kept."""
        seed = row.params.get("seed")
        known_seed = isinstance(seed, int) and not isinstance(seed, bool)
        return replace(
            self,
            generation_id=row.generation_id,
            status=row.status,
            url=row.result_url or self.url,
            error=row.error_message or self.error,
            cost=self.cost if row.cost is None else row.cost,
            seed=seed if known_seed else self.seed,
        )

    @property
    def image(self) -> Any:
        """The image as a `PIL.Image`, from its bytes or its file; needs Pillow.

        Raises `ValueError` for one that was not saved on this machine.
        """
        from PIL import Image

        if self.content is not None:
            return Image.open(io.BytesIO(self.content))
        if self.path is None:
            raise ValueError("The image was not saved on this machine: pass save_to.")
        return Image.open(self.path)

    def show(self) -> None:
        """Show the image in the system's viewer. Raises what `image` does."""
        self.image.show()

    def _repr_html_(self) -> str:
        return _as_html(self, None)

    def to_dict(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in _STORED}
        data["cost"] = None if self.cost is None else format(self.cost, "f")
        data["path"] = None if self.path is None else str(self.path)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        known = {name: value for name, value in data.items() if name in _STORED}
        if known.get("cost") is not None:
            known["cost"] = Decimal(known["cost"])
        if known.get("path") is not None:
            known["path"] = Path(known["path"])
        return cls(**known)


_STORED = tuple(each.name for each in fields(MediaItem) if each.name != "content")


def known_cost(items: Iterable[MediaItem]) -> Decimal:
    """Return what is known of the cost of `items` in USD; those of unknown cost count as nothing."""
    return sum((item.cost for item in items if item.cost is not None), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaResult:
    """Everything one request made. `params` are the parameters sent, `notes` what was odd."""

    model: str
    media_type: str
    items: tuple[MediaItem, ...] = ()
    prompt: str | None = None
    key: str | None = None
    entry_id: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """``succeeded``, ``partial``, ``failed``, ``cancelled``, or ``running``."""
        statuses = {item.status for item in self.items}
        if not statuses or not statuses <= TERMINAL:
            return "running"
        if len(statuses) == 1:
            return statuses.pop()
        return "partial" if "succeeded" in statuses else "failed"

    @property
    def is_terminal(self) -> bool:
        return self.status != "running"

    @property
    def generation_ids(self) -> tuple[str, ...]:
        return tuple(item.generation_id for item in self.items if item.generation_id)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(item.url for item in self.succeeded if item.url)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(item.path for item in self.items if item.path)

    @property
    def succeeded(self) -> tuple[MediaItem, ...]:
        return tuple(item for item in self.items if item.status == "succeeded")

    @property
    def failures(self) -> tuple[MediaItem, ...]:
        return tuple(item for item in self.items if item.is_terminal and item.status != "succeeded")

    @property
    def cost(self) -> Decimal | None:
        """USD for all items together; None while that of any is unknown."""
        if not self.items or any(item.cost is None for item in self.items):
            return None
        return known_cost(self.items)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; money as decimal strings."""
        plain = {name: getattr(self, name) for name in ("model", "media_type", "prompt", "key")}
        return {
            **plain,
            "entry_id": self.entry_id,
            "status": self.status,
            "cost": None if self.cost is None else format(self.cost, "f"),
            "items": [item.to_dict() for item in self.items],
            "params": dict(self.params),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            model=data["model"],
            media_type=data["media_type"],
            prompt=data.get("prompt"),
            key=data.get("key"),
            entry_id=data.get("entry_id"),
            items=tuple(MediaItem.from_dict(item) for item in data.get("items", ())),
            params=dict(data.get("params") or {}),
            notes=tuple(data.get("notes") or ()),
        )

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        cost = "unknown cost" if self.cost is None else usd(self.cost)
        places = [
            str(item.path or item.saved_url or _brief(item.url) or item.error or item.status)
            for item in self.items
        ]
        return f"{self.media_type} by {self.model}: {self.status}, {cost}: {'; '.join(places)}"

    def _repr_html_(self) -> str:
        cost = "unknown cost" if self.cost is None else usd(self.cost)
        about = " · ".join(filter(None, (self.model, self.status, cost, self.prompt)))
        shown = (_as_html(item, self.media_type) for item in self.items)
        return "\n".join((f"<p>{notebook.text(about)}</p>", *shown))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What `on_progress` is told.

    `phase`: ``quoted``, ``enqueued``, ``waiting``, ``trouble`` (a poll failed; nothing is lost),
    ``fetching``, ``done``, ``detached``. `elapsed` seconds since the call; `done` of `total`
    generations have ended.
    """

    phase: str
    status: str
    elapsed: float
    generation_ids: tuple[str, ...] = ()
    done: int = 0
    total: int = 1
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkProgress:
    """How far a run over many requests is. Money is USD, times are seconds.

    `total` requests where their number is known, `taken` so far; `running` are at the hub, and
    `reserved` is what they may cost. `bought` results were sent by this run itself; the others were
    bought before, or by another process. `spent` counts all of them. `paused`: how long sending rests, because the hub asked for it.
    """

    total: int | None = None
    taken: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    bought: int = 0
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    elapsed: float = 0.0
    seconds_left: float | None = None
    paused: float = 0.0

    @property
    def done(self) -> int:
        """Requests whose outcome is known."""
        return self.succeeded + self.failed


def _brief(url: str | None) -> str | None:
    is_long = url is not None and url.startswith("data:") and len(url) > _LONGEST_DATA_URL_SHOWN
    return f"{url[:_LONGEST_DATA_URL_SHOWN]}…" if url is not None and is_long else url


def _kind_of(item: MediaItem, media_type: str | None) -> str:
    name = (item.url or "").partition("?")[0].rpartition("/")[2]
    named, _ = mimetypes.guess_type(name)
    kinds = ((item.mime_type or "").partition("/")[0], media_type, (named or "").partition("/")[0])
    return next((one for one in kinds if one in MEDIA_TYPES), "image")


def _as_html(item: MediaItem, media_type: str | None) -> str:
    kind, otherwise = _kind_of(item, media_type), item.error or item.status
    return notebook.media(kind, item.mime_type, item.content, item.path, item.url, otherwise)
