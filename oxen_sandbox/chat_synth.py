"""JSON-Schema synthesis: a valid instance, filled from the user's words where they say something."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oxen_sandbox.chat_clues import Clues, url_kind
from oxen_sandbox.chat_schema import Schema, clamped, fits, joined, kind_of, number

_ABSENT = object()
_DEEP = 6
_MANY = 10
_FORMATS = {
    "date-time": "2026-01-01T09:00:00Z",
    "date": "2026-01-01",
    "time": "09:00:00Z",
    "duration": "PT5S",
    "email": "ox@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/ox",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_SAMPLES = (
    "ox",
    "OX",
    "Ox",
    "ox-1",
    "ox_1",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "1.5",
    "2026-01-01",
    "#a0522d",
    "en",
    "en-US",
    "+15550100000",
    "16:9",
    "1024x1024",
    "09:00",
)
_HOPEFUL = re.compile(r"satisf|complete|success|approv|done|valid|relevant|correct")


def synthesise(schema: Schema, clues: Clues) -> tuple[Any, float]:
    """Return a valid instance, and the share of its required properties that the words gave."""
    work = _Synthesis(schema, replace(clues))  # nothing of the clues is handed out yet
    value = work.value(schema, "", required=True, depth=0)
    return value, work.given / work.asked if work.asked else 1.0


class _Synthesis:
    def __init__(self, root: Schema, clues: Clues) -> None:
        self.root = root
        self.clues = clues
        self.asked = 0
        self.given = 0

    def value(self, schema: Any, name: str, *, required: bool, depth: int) -> Any:
        """Return what the words give, else (if required) an invention, else _ABSENT."""
        branches = self._branches(schema)
        if required and depth > _DEEP and any(branch.get("type") == "null" for branch in branches):
            return None
        scalar = branches[0].get("type") not in ("object", None) or "enum" in branches[0]
        if required and scalar and depth < 2:
            self.asked += 1
        for branch in branches:
            found = self._find(branch, name, required=required, depth=depth)
            if found is not _ABSENT:
                self.given += required and scalar and depth < 2
                return found
        if not required:
            return _ABSENT
        for branch in (schema, *branches):
            if isinstance(branch, dict) and "default" in branch:
                return branch["default"]
        return self._invent(branches[0], name)

    def _branches(self, schema: Any, depth: int = 0) -> list[Schema]:
        """Resolve references and unions into alternatives, null last."""
        if not isinstance(schema, dict) or depth > 2 * _DEEP:
            return [{}]
        plain = self._merged(schema)
        union = plain.pop("anyOf", None) or plain.pop("oneOf", None)
        plain.pop("oneOf", None)
        if union:
            alternatives = [
                alternative
                for branch in union
                for alternative in self._branches(joined(plain, branch), depth + 1)
            ]
        elif isinstance(plain.get("type"), list):
            alternatives = [{**plain, "type": kind} for kind in plain["type"]]
        else:
            alternatives = [plain]
        if plain.get("nullable"):
            alternatives.append({"type": "null"})
        return sorted(alternatives, key=lambda branch: branch.get("type") == "null")

    def _merged(self, schema: Schema) -> Schema:
        for _ in range(32):
            if "$ref" not in schema:
                break
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._target(schema["$ref"]), **rest}
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema.get("allOf", ()):
            merged = joined(merged, self._merged(part))
        return merged

    def _target(self, reference: str) -> Schema:
        target: Any = self.root
        for step in reference.lstrip("#/").split("/") if reference != "#" else ():
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(name) if isinstance(target, list) else name]
            except (LookupError, TypeError, ValueError):
                return {}
        return target if isinstance(target, dict) else {}

    def _find(self, schema: Schema, name: str, *, required: bool, depth: int) -> Any:
        kind = kind_of(schema)
        if "const" in schema or kind == "null":
            return _ABSENT
        if "enum" in schema:
            option = self.clues.mentioned(schema["enum"], name)
            return _ABSENT if option is None else option
        told = self.clues.told(name)
        if told is not None and kind not in ("object", "array") and fits(schema, told):
            return told
        if kind == "object":
            return self._object(schema, depth) if required else _ABSENT
        if kind == "array":
            return self._array(schema, name, required=required, depth=depth)
        found: Any = None
        if kind in ("integer", "number"):
            found = self.clues.number(name, lambda value: fits(schema, value), required=required)
            found = clamped(schema, found)
        elif kind == "boolean":
            found = self.clues.boolean(name)
        else:
            found = self.clues.string(name, schema, required=required)
            if found is not None and len(found) > schema.get("maxLength", math.inf):
                found = found[: schema["maxLength"]].rstrip()
        return found if found is not None and fits(schema, found) else _ABSENT

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        needed = schema.get("required") or []
        made = {}
        for name, part in properties.items():
            if depth > _DEEP and name not in needed:
                continue
            value = self.value(part, name, required=name in needed, depth=depth + 1)
            if value is not _ABSENT:
                made[name] = value
        extra = schema.get("additionalProperties")
        for name in (name for name in needed if name not in made):
            made[name] = self.value(extra, name, required=True, depth=depth + 1)
        for index in range(schema.get("minProperties", 0) - len(made)):
            made[f"item_{index + 1}"] = self.value(extra, "item", required=True, depth=depth + 1)
        return made

    def _array(self, schema: Schema, name: str, *, required: bool, depth: int) -> Any:
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", _MANY), max(_MANY, least))
        item = schema.get("items", {})
        branches = self._branches(item)
        plain = branches[0]
        singular = re.sub(r"ies$", "y", name) if name.endswith("ies") else name.removesuffix("s")
        if schema.get("prefixItems"):
            parts = schema["prefixItems"]
            return (
                [self.value(part, name, required=True, depth=depth + 1) for part in parts]
                if required
                else _ABSENT
            )
        if plain.get("type") == "string" and "enum" not in plain:
            found = [text for text in self.clues.items(name) if fits(plain, text)][:most]
            found = list(dict.fromkeys(found)) if schema.get("uniqueItems") else found
            if len(found) >= max(least, 1):
                return found
        if not required:
            return _ABSENT
        wanted = self.clues.amount(name) or max(least, 1)
        wanted = min(max(wanted, least), most) if depth <= _DEEP else least
        made: list[Any] = []
        for _ in range(wanted):
            value = self.value(item, singular, required=True, depth=depth + 1)
            made.append(value if value not in made else _varied(branches, value, made))
        if schema.get("uniqueItems"):
            made = [value for index, value in enumerate(made) if value not in made[:index]]
        return made

    def _invent(self, schema: Schema, name: str) -> Any:
        """Make up a scalar; objects and arrays are found piece by piece."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return next((option for option in schema["enum"] if option is not None), None)
        kind = kind_of(schema)
        if kind in ("integer", "number"):
            return number(schema)
        if kind == "boolean":
            return bool(_HOPEFUL.search(name))
        return None if kind == "null" else self._string(schema, name)

    def _string(self, schema: Schema, name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if pattern := schema.get("pattern"):
            options = (
                *_SAMPLES,
                *("a" * size for size in range(1, 65)),
                *("A" * size for size in range(1, 33)),
                *("1" * size for size in range(1, 33)),
            )
            return next(
                (o for o in options if re.search(pattern, o) and least <= len(o) <= most), ""
            )
        if "format" in schema or url_kind(name.lower(), schema):
            kind = url_kind(name.lower(), schema)
            text = {
                "image": "https://example.com/ox.png",
                "video": "https://example.com/ox.mp4",
                "audio": "https://example.com/ox.wav",
            }.get(kind or "") or _FORMATS.get(schema.get("format", "uri"), "ox")
        else:
            text = self._words(schema, name)
        if len(text) < least:
            text += "." * int(least - len(text))
        return text if len(text) <= most else text[: int(most)]

    def _words(self, schema: Schema, name: str) -> str:
        """Fill a free text from its description and the subject: "Question to set up a joke about cats"."""
        source = self.clues.results[0] if self.clues.results else self.clues.subject
        about = " ".join(source.split())[:120]
        meaning = str(
            schema.get("description") or schema.get("title") or name.replace("_", " ")
        ).split("\n")[0]
        meaning = meaning.strip().rstrip(".")[:120] or "text"
        meaning = meaning[0].upper() + meaning[1:]
        return f"{meaning}: {about}" if about else meaning


def _varied(branches: list[Schema], value: Any, made: list[Any]) -> Any:
    """Vary a repeated list item, if its schema leaves room to."""
    schema = next((branch for branch in branches if fits(branch, value)), {})
    options = list(schema.get("enum", ()))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        step = schema.get("multipleOf", 1)
        options += [value + k * step for k in range(1, 2 * _MANY)]
    elif isinstance(value, str) and "format" not in schema:
        options.append(f"{value} ({len(made) + 1})")
    fresh = (option for option in options if option not in made and fits(schema, option))
    return next(fresh, value)
