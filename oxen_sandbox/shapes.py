"""What a generation will look like: kind, size, length and format, from its parameters."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEDIA_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
    "mp4": "video/mp4", "mov": "video/quicktime",
    "wav": "audio/wav", "mp3": "audio/mpeg", "pcm": "audio/pcm", "ogg_opus": "audio/ogg",
}  # fmt: skip
_FORMATS = {
    "image": ("png", "jpg", "jpeg", "webp"),
    "video": ("mp4", "mov"),
    "audio": ("wav", "mp3", "pcm", "ogg_opus"),
}
_NAMED_RATIOS = {"landscape": 16 / 9, "portrait": 9 / 16, "square": 1.0, "square_hd": 1.0}
_MEGAPIXELS = {"512": 0.25, "1k": 1.0, "2k": 4.0, "3k": 9.0, "4k": 16.0}  # of 1024² pixels
_VIDEO_LINES = 480  # videos keep ratio and length, but not resolution: they have to be cheap


@dataclass(frozen=True)
class Shape:
    """One image, video or sound: size in pixels, length in seconds."""

    kind: str
    format: str
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    frames: int = 0
    sound: bool = False
    rate: int = 24000

    @property
    def mime(self) -> str:
        """The media type the file is served as."""
        return MEDIA_TYPES[self.format]

    @property
    def suffix(self) -> str:
        """The file name's ending."""
        return {"ogg_opus": "ogg", "jpeg": "jpg"}.get(self.format, self.format)


def with_defaults(schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` completed with the schema's defaults; a null counts as not given."""
    fields = (schema or {}).get("properties") or {}
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {**defaults, **{name: value for name, value in params.items() if value is not None}}


def shape_of(kind: str, schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> Shape:
    """The shape of one generation from `params`, complete with defaults and valid."""
    made = _format(kind, params)
    if kind == "image":
        width, height = _image_size(params)
        return Shape(kind, made, width, height)
    if kind == "audio":
        words = str(params.get("prompt") or "")
        seconds = round(max(1.0, len(words) * 0.06) / float(params.get("speed") or 1), 2)
        rate = int(params.get("sample_rate") or 24000)
        return Shape(kind, made, seconds=seconds, rate=rate)
    width, height = _video_size(params)
    fps = float(params.get("frames_per_second") or params.get("target_fps") or 12)
    if params.get("num_frames"):
        frames = int(params["num_frames"])
        fps = fps if params.get("frames_per_second") else 16.0
    else:
        frames = max(1, round(_seconds(schema, params) * fps))
    sound = bool(params.get("generate_audio"))
    return Shape(kind, made, width, height, round(frames / fps, 3), fps, frames, sound)


def _format(kind: str, params: Mapping[str, Any]) -> str:
    asked = str(params.get("output_format") or "").lower()
    return asked if asked in _FORMATS[kind] else _FORMATS[kind][0]


def _seconds(schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> float:
    name = next((name for name in ("duration", "seconds") if name in params), "duration")
    found = re.match(r"\d+(\.\d+)?", str(params.get(name)))
    if found:
        return float(found[0])
    # "auto", or not said
    choices = (((schema or {}).get("properties") or {}).get(name) or {}).get("enum") or []
    numbers = [float(choice) for choice in choices if re.fullmatch(r"\d+(\.\d+)?", str(choice))]
    return min((number for number in numbers if number >= 5), default=5.0)


def _ratio(params: Mapping[str, Any]) -> float:
    asked = str(params.get("aspect_ratio") or params.get("resolution") or "").lower()
    found = re.search(r"(\d+(?:\.\d+)?)[:_](\d+(?:\.\d+)?)$", asked)
    if found and float(found[1]) > 0 and float(found[2]) > 0:
        ratio = float(found[1]) / float(found[2])
        upright = "portrait" in asked and ratio > 1
        return 1 / ratio if upright else ratio
    return _NAMED_RATIOS.get(asked, 16 / 9 if asked else 1.0)


def _explicit(params: Mapping[str, Any]) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d+)x(\d+)", str(params.get("size") or ""))
    if found:
        return int(found[1]), int(found[2])
    if params.get("width") and params.get("height"):
        return int(params["width"]), int(params["height"])
    return None


def _image_size(params: Mapping[str, Any]) -> tuple[int, int]:
    explicit = _explicit(params)
    if explicit:
        return explicit
    tier = str(params.get("resolution") or params.get("size") or "").lower()
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?mp", tier)
    megapixels = float(found[1]) if found else _MEGAPIXELS.get(tier, 1.0)
    ratio = _ratio({"aspect_ratio": params.get("aspect_ratio")})
    height = math.sqrt(megapixels * 1024 * 1024 / ratio)
    return _even(height * ratio), _even(height)


def _video_size(params: Mapping[str, Any]) -> tuple[int, int]:
    explicit = _explicit(params)
    ratio = explicit[0] / explicit[1] if explicit else _ratio(params)
    lines = min(_VIDEO_LINES, *explicit) if explicit else _VIDEO_LINES
    if ratio >= 1:
        return _even(lines * ratio), _even(lines)
    return _even(lines), _even(lines / ratio)


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)
