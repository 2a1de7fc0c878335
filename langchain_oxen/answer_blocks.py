"""What an answer has besides text and calls, as LangChain's standard content blocks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import content as blocks

Block = dict[str, Any]

_KNOWS_REFUSALS = hasattr(blocks, "RefusalContentBlock")  # langchain-core 1.7.5
_CITATION = {
    "url": "url",
    "title": "title",
    "start_index": "start_index",
    "end_index": "end_index",
    "cited_text": "cited_text",
    "content": "cited_text",
}
"""A field of a provider's citation → LangChain's name for it."""


def refusal(text: str) -> Block:
    """Return the block for a refusal; the text is empty where the provider gave no reason."""
    value = {"type": "refusal", "refusal": text}
    return value if _KNOWS_REFUSALS else {"type": "non_standard", "value": value}


def citations(extras: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Block]:
    """Return the annotations of an answer's text.

    `extras`: the message's ``annotations``; `metadata`: Perplexity's ``citations``, which are URLs.
    """
    annotations = _as_list(extras.get("annotations"))
    found = [_annotation(each) for each in annotations if isinstance(each, Mapping)]
    cited = {block.get("url") for block in found}
    for url in _as_list(metadata.get("citations")):
        fields = url if isinstance(url, Mapping) else {"url": url}
        if isinstance(fields.get("url"), str) and fields["url"] not in cited:
            found.append(_citation(fields))
    return found


def media(extras: Mapping[str, Any]) -> list[Block]:
    """Return the images and the audio of an answer."""
    found = [block for image in _as_list(extras.get("images")) if (block := _image(image))]
    audio = extras.get("audio")
    if isinstance(audio, Mapping) and isinstance(audio.get("data"), str) and audio["data"]:
        more = {k: v for k, v in audio.items() if k != "data"}
        block = {"type": "audio", **_data(audio["data"], "audio", "audio/wav")}
        found.append({**block, **({"extras": more} if more else {})})
    return found


def _annotation(annotation: Mapping[str, Any]) -> Block:
    kind = str(annotation.get("type") or "")
    inner = annotation.get(kind)
    fields = inner if isinstance(inner, Mapping) else annotation
    if "citation" not in kind and not isinstance(fields.get("url"), str):
        return {"type": "non_standard_annotation", "value": dict(annotation)}
    return _citation(fields)


def _citation(fields: Mapping[str, Any]) -> Block:
    block: Block = {"type": "citation"}
    extras: Block = {}
    for name, value in fields.items():
        if value is None or name == "type":
            continue
        if name in _CITATION:
            block.setdefault(_CITATION[name], value)
        else:
            extras[name] = value
    return {**block, "extras": extras} if extras else block


def _image(image: Any) -> Block | None:
    """Return the block for an image in a form of OpenRouter's, OpenAI's or a plain URL."""
    fields = image if isinstance(image, Mapping) else {"url": image}
    value = fields.get("image_url", fields.get("url"))
    url = value.get("url") if isinstance(value, Mapping) else value
    encoded = fields.get("b64_json") or fields.get("data")
    if isinstance(url, str) and url[:5].lower() == "data:":
        head, _, encoded = url.partition(",")
        declared = head[5:].partition(";")[0]
        return {"type": "image", **_data(encoded, "image", declared or "image/png")}
    if isinstance(url, str) and url:
        return {"type": "image", "url": url}
    if isinstance(encoded, str) and encoded:
        return {"type": "image", **_data(encoded, "image", "image/png")}
    return None


def _data(encoded: str, kind: Any, declared: str) -> Block:
    from oxen_inference.chat.files import mime_type_of

    try:
        shown = mime_type_of(base64.b64decode(encoded[:64]), kind)
    except binascii.Error:
        shown = None
    return {"base64": encoded, "mime_type": shown or declared}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
