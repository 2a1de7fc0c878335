"""What an answer has besides text and calls, as LangChain's standard content blocks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from langchain_core.messages import content as blocks

from oxen_inference.chat.answer_images import image_url
from oxen_inference.chat.citations import Citation, citations_of, other_annotations

Block = dict[str, Any]

_KNOWS_REFUSALS = hasattr(blocks, "RefusalContentBlock")  # langchain-core 1.7.5


def refusal(text: str) -> Block:
    """Return the block for a refusal; the text is empty where the provider gave no reason."""
    value = {"type": "refusal", "refusal": text}
    return value if _KNOWS_REFUSALS else {"type": "non_standard", "value": value}


def citations(extras: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Block]:
    """Return the annotations of an answer's text.

    `extras`: the message's ``annotations``; `metadata`: Perplexity's ``citations``.
    """
    cited = [_citation(each) for each in citations_of(extras, metadata)]
    others = other_annotations(extras)
    return [*cited, *({"type": "non_standard_annotation", "value": each} for each in others)]


def media(extras: Mapping[str, Any]) -> list[Block]:
    """Return the images and the audio of an answer."""
    found = [block for image in _as_list(extras.get("images")) if (block := _image(image))]
    audio = extras.get("audio")
    if isinstance(audio, Mapping) and isinstance(audio.get("data"), str) and audio["data"]:
        more = {k: v for k, v in audio.items() if k != "data"}
        block = {"type": "audio", **_data(audio["data"], "audio", "audio/wav")}
        found.append({**block, **({"extras": more} if more else {})})
    return found


def _citation(citation: Citation) -> Block:
    fields = {name: value for name, value in asdict(citation).items() if value not in (None, {})}
    return {"type": "citation", **fields}


def _image(image: Any) -> Block | None:
    url = image_url(image)
    if not url:
        return None
    head, _, encoded = url.partition(",")
    if head[:5].lower() != "data:" or not head.lower().rstrip().endswith(";base64"):
        return {"type": "image", "url": url}  # of data, too: an SVG may come as its text
    declared = head[5:].partition(";")[0]
    return {"type": "image", **_data(encoded, "image", declared or "image/png")}


def _data(encoded: str, kind: Any, declared: str) -> Block:
    from oxen_inference.chat.files import mime_type_of

    try:
        shown = mime_type_of(base64.b64decode(encoded[:64]), kind)
    except ValueError:  # no base64, or letters that base64 does not have
        shown = None
    return {"base64": encoded, "mime_type": shown or declared}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
