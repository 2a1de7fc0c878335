"""Which parameters take images, videos or audio, by their schema and their name.

Real schemas say it in three ways: a ``renderType``, ``format: uri``, or only the name. A parameter
inside another one is named by its path: ``elements.image_url``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oxen_inference.catalog.parameter_roles import Role, role_of, snake_case
from oxen_inference.catalog.schema import (
    Schema,
    alternatives,
    choices_of,
    is_url,
    properties_of,
    types_of,
)

Media = frozenset[str]
"""Some of image, video and audio."""

ALL_MEDIA: Media = frozenset({"image", "video", "audio"})
NO_MEDIA: Media = frozenset()

_NOUNS = {
    "image": "image images img imgs photo photos frame frames mask masks",
    "video": "video videos clip clips",
    "audio": "audio audios",
}
# Words that stand for audio only where a file is meant: `voice` and `music` are often texts.
_AUDIO_FILES = "voice voices speech music song songs sound sounds"
_KINDS = {word: kind for kind, words in _NOUNS.items() for word in words.split()}
_KINDS_OF_FILES = {**_KINDS, **dict.fromkeys(_AUDIO_FILES.split(), "audio")}
_REFERENCES = frozenset(["reference", "references", "ref", "refs"])
_ADDRESSES = frozenset(["url", "urls", "uri", "uris", "file", "files"])
_ENDINGS = _ADDRESSES | frozenset(
    ["path", "paths", "input", "inputs", "source", "src", "data", "base64", "b64", "list"]
)
_NO_MEDIA = frozenset(["lora", "loras", "webhook", "webhooks", "callback", "callbacks"])
_ROLES_OF_INPUTS = (None, Role.NEUTRAL, Role.TIMED_INPUT)
_MAX_DEPTH = 8
"""How deep lists of lists are followed."""


def media_of(name: str, schema: object = None) -> Media:
    """Return the kinds of media that a parameter takes; empty where it takes none.

    A parameter that takes a file of a kind that nobody states takes all of them.
    """
    by_name = _by_name(name)
    words = _words(name.rpartition(".")[2])
    kinds: Media = NO_MEDIA
    for rules in _forms(schema):
        if not _may_be_file(rules) or not _NO_MEDIA.isdisjoint(words):
            continue
        rendered, _, ending = str(rules.get("renderType") or "").partition("-")
        if ending.startswith("url"):
            kinds |= {rendered} if rendered in ALL_MEDIA else _named(words) or ALL_MEDIA
        elif is_url(rules):
            kinds |= by_name or _named(words) or ALL_MEDIA
        else:
            kinds |= by_name
    return kinds


def media_of_file(name: str, schema: object = None) -> Media:
    """Return what a URL or a data URL that was given for a parameter may be.

    It is a file whatever the parameter is for, so any word of the name counts.
    """
    outer, _, last = name.rpartition(".")
    words = _words(last)
    if not _NO_MEDIA.isdisjoint(words):
        return NO_MEDIA
    found = media_of(name, schema) or _named(words)
    return found or (media_of_file(outer) if outer else NO_MEDIA)


def field_of(schema: object, name: str) -> object:
    """Return the schema of a field of an object, or of the objects of a list; None if unknown."""
    for rules in _forms(schema):
        if name in (fields := properties_of(rules)):
            return fields[name]
    return None


def takes_image_to_change(name: str, schema: object) -> bool:
    """Whether a parameter takes an image to start from: neither a mask nor one of a style."""
    others = ("mask", "masks", "style", "styles")
    return media_of(name, schema) == {"image"} and not set(_words(name)).intersection(others)


def _by_name(name: str) -> Media:
    outer, _, last = name.rpartition(".")
    words = _words(last)
    role = role_of(last)
    if not _NO_MEDIA.isdisjoint(words) or not (role in _ROLES_OF_INPUTS or last == "audio"):
        return NO_MEDIA
    core = list(words)
    while core and (core[-1] in _ENDINGS or not core[-1]):
        core.pop()
    if not core:  # `url` and the like: of what, the parameter around it says
        return _by_name(outer) if outer else NO_MEDIA
    if core[-1] in _KINDS or not _ADDRESSES.isdisjoint(words[len(core) :]):
        return _named(words)
    if core[-1] in _REFERENCES:
        return _named(words) or (NO_MEDIA if role is None else ALL_MEDIA)
    return NO_MEDIA


def _named(words: list[str]) -> Media:
    return frozenset(_KINDS_OF_FILES[word] for word in words if word in _KINDS_OF_FILES)


def _words(name: str) -> list[str]:
    """Return the words of a name, without the number that tells it from others: `image_2`."""
    words = snake_case(name).split("_")
    return [word if word in _ENDINGS else word.rstrip("0123456789") for word in words]


def _forms(schema: object, depth: int = 0) -> Iterator[Schema]:
    """Yield the schemas that a single value may have: of a list, those of its items."""
    for rules in alternatives(schema):
        items = rules.get("items")
        if not isinstance(items, Mapping) or depth > _MAX_DEPTH:
            yield rules
            continue
        of_list: dict[str, Any] = {"renderType": rules.get("renderType"), **items}
        yield from _forms(of_list, depth + 1)
        if "string" in types_of(rules):
            yield rules


def _may_be_file(rules: Schema) -> bool:
    types = types_of(rules)
    return choices_of(rules) is None and (
        not types or not types.isdisjoint(("string", "object", "array"))
    )
