"""Images, videos and sounds that open anywhere, with the prompt written on them."""

import functools
import io
import math
import textwrap
import wave
import zlib
from array import array
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from oxen_sandbox.shapes import Shape

if TYPE_CHECKING:
    from PIL.Image import Image

_SAMPLE_RATE = 48000
_PILLOW = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 80},
    "WEBP": {"quality": 80, "method": 0},
}


@functools.lru_cache(maxsize=256)
def render(shape: Shape, text: str) -> bytes:
    """The file's bytes; the same shape and text give the same bytes."""
    if shape.kind == "image":
        return _image(shape, text)
    if shape.kind == "video":
        return _video(shape, text)
    return _sound(shape)


def _drawing(width: int, height: int, text: str) -> "Image":
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
    _drawing(shape.width, shape.height, text).save(out, kind, **_SAVE[kind])
    return out.getvalue()


def _video(shape: Shape, text: str) -> bytes:
    """H.264 with a bar that moves across the bottom, so that the video is seen to play."""
    import av

    out = io.BytesIO()
    rate = Fraction(shape.fps).limit_denominator(1001)
    with av.open(out, "w", format="mov" if shape.format == "mov" else "mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30"}
        sound = container.add_stream("aac", rate=_SAMPLE_RATE) if shape.sound else None
        image: Any = _drawing(shape.width, shape.height, text)
        frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")  # type: ignore[no-untyped-call]  # PyAV annotates it in part
        luma = frame.planes[0]
        plain = bytes(luma)
        for number in range(shape.frames):
            lit = shape.width * (number + 1) // shape.frames
            luma.update(_with_bar(plain, luma.line_size, shape.height, lit))
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _encode(container, sound, _tone(shape.seconds, _SAMPLE_RATE), _SAMPLE_RATE)
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


def _sound(shape: Shape) -> bytes:
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
