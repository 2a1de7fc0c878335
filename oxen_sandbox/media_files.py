"""Generated files: their kind, size, length and format, and bytes that open anywhere."""

import functools
import io
import math
import re
import textwrap
import wave
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

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
_VIDEO_LINES = 480  # videos keep their ratio and length, not their resolution: cheap to encode
_SAMPLE_RATE = 48000
_PILLOW = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 80},
    "WEBP": {"quality": 80, "method": 0},
}


@dataclass(frozen=True)
class Shape:
    """One image, video or audio file: size in pixels, length in seconds."""

    kind: str
    format: str
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    frames: int = 0
    audio: bool = False
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
    audio = bool(params.get("generate_audio"))
    return Shape(kind, made, width, height, round(frames / fps, 3), fps, frames, audio)


def _format(kind: str, params: Mapping[str, Any]) -> str:
    wanted = str(params.get("output_format") or "").lower()
    return wanted if wanted in _FORMATS[kind] else _FORMATS[kind][0]


def _seconds(schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> float:
    name = next((name for name in ("duration", "seconds") if name in params), "duration")
    found = re.match(r"\d+(\.\d+)?", str(params.get(name)))
    if found:
        return float(found[0])
    # "auto", or not given
    choices = (((schema or {}).get("properties") or {}).get(name) or {}).get("enum") or []
    numbers = [float(choice) for choice in choices if re.fullmatch(r"\d+(\.\d+)?", str(choice))]
    return min((number for number in numbers if number >= 5), default=5.0)


def _ratio(params: Mapping[str, Any]) -> float:
    wanted = str(params.get("aspect_ratio") or params.get("resolution") or "").lower()
    found = re.search(r"(\d+(?:\.\d+)?)[:_](\d+(?:\.\d+)?)$", wanted)
    if found and float(found[1]) > 0 and float(found[2]) > 0:
        ratio = float(found[1]) / float(found[2])
        upright = "portrait" in wanted and ratio > 1
        return 1 / ratio if upright else ratio
    return _NAMED_RATIOS.get(wanted, 16 / 9 if wanted else 1.0)


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


@functools.lru_cache(maxsize=256)
def render(shape: Shape, text: str) -> bytes:
    """The file's bytes; the same shape and text give the same bytes."""
    if shape.kind == "image":
        return _image(shape, text)
    if shape.kind == "video":
        return _video(shape, text)
    return _audio(shape)


def _draw(width: int, height: int, text: str) -> "Image":
    """A plain color that depends on the text, and the text on it."""
    from PIL import Image, ImageDraw, ImageFont  # here, so that the hub starts without it

    hue = zlib.crc32(text.encode()) % 256
    image = Image.new("HSV", (width, height), (hue, 110, 170)).convert("RGB")
    size = max(10, min(width, height) // 14)
    columns = max(8, int(width / (size * 0.6)))
    lines = textwrap.wrap(text, columns)[: max(1, height // (size + size // 3) - 1)]
    draw = ImageDraw.Draw(image)
    draw.multiline_text(
        (size // 2, size // 2), "\n".join(lines), "white", ImageFont.load_default(size)
    )
    return image


def _image(shape: Shape, text: str) -> bytes:
    out = io.BytesIO()
    kind = _PILLOW[shape.format]
    _draw(shape.width, shape.height, text).save(out, kind, **_SAVE[kind])
    return out.getvalue()


def _video(shape: Shape, text: str) -> bytes:
    """H.264 with a bar that moves across the bottom, so that it is seen to play."""
    import av

    out = io.BytesIO()
    rate = Fraction(shape.fps).limit_denominator(1001)
    with av.open(out, "w", format="mov" if shape.format == "mov" else "mp4") as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = shape.width, shape.height, "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "30"}
        audio = container.add_stream("aac", rate=_SAMPLE_RATE) if shape.audio else None
        image: Any = _draw(shape.width, shape.height, text)
        frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")  # type: ignore[no-untyped-call]  # PyAV annotates it in part
        luma = frame.planes[0]
        plain = bytes(luma)
        for number in range(shape.frames):
            lit = shape.width * (number + 1) // shape.frames
            luma.update(_with_bar(plain, luma.line_size, shape.height, lit))
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            _encode(container, audio, _tone(shape.seconds, _SAMPLE_RATE), _SAMPLE_RATE)
    return out.getvalue()


def _with_bar(luma: bytes, line: int, height: int, lit: int) -> bytes:
    changed = bytearray(luma)
    for row in range(height - max(2, height // 40), height):
        changed[row * line : row * line + lit] = b"\xeb" * lit
    return bytes(changed)


def _tone(seconds: float, rate: int) -> bytes:
    """A quiet 220 Hz tone as signed 16-bit mono samples."""
    period = array("h", (int(3000 * math.sin(2 * math.pi * 220 * n / rate)) for n in range(rate)))
    whole, rest = divmod(round(seconds * rate), rate)
    return period.tobytes() * whole + period[:rest].tobytes()


def _encode(container: Any, stream: Any, samples: bytes, rate: int) -> None:
    import av

    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
    frame.sample_rate, frame.pts = rate, 0
    frame.planes[0].update(samples)
    fit = av.AudioResampler(stream.format.name, stream.layout.name, stream.rate)
    fifo = av.AudioFifo()
    for part in [*fit.resample(frame), *fit.resample(None)]:
        fifo.write(part)
    while chunk := fifo.read(stream.frame_size or 1024, partial=True):
        container.mux(stream.encode(chunk))
    container.mux(stream.encode(None))


def _audio(shape: Shape) -> bytes:
    import av

    samples = _tone(shape.seconds, shape.rate)
    if shape.format == "pcm":
        return samples
    out = io.BytesIO()
    if shape.format == "wav":
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(shape.rate)
            file.writeframes(samples)
        return out.getvalue()
    codec, rate = ("libopus", _SAMPLE_RATE) if shape.format == "ogg_opus" else ("mp3", shape.rate)
    with av.open(out, "w", format="ogg" if codec == "libopus" else "mp3") as container:
        stream = container.add_stream(codec, rate=rate)
        _encode(container, stream, samples, shape.rate)
    return out.getvalue()
