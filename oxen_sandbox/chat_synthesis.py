"""A valid instance of a JSON Schema, filled from the numbers, quoted strings and URLs of a prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema object, any draft."""

_Refs = tuple[str, ...]
"""The references that are being followed, outermost first."""

_ABSENT = object()
_DEEPEST = 24
_MOST_ITEMS = 10
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|`([^`\n]+)`|(?<!\w)['‘]([^'’\n]+)['’](?!\w)")
_URL = re.compile(
    r"https?://[^\s<>\"'`)\]}]*[^\s<>\"'`)\]}.,;:!?]|data:[\w.+-]+/[\w.+-]+;base64,\S+"
)
_NUMBER = re.compile(r"(?<![\w.:-])-?\d+(?:\.\d+)?(?![\w:]|[.-]\d)")
_URL_NAME = re.compile(r"(^|_)ur[il]s?$|^(input|reference|start|end)_(image|video|audio)s?$")
_URL_SAMPLE = "https://example.com/ox.png"
_FORMATS = {  # what to look for in the prompt, and what to make up
    "date-time": (r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)", "2026-01-01T09:00:00Z"),
    "date": (r"\b\d{4}-\d\d-\d\d\b", "2026-01-01"),
    "time": (r"\b\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", "09:00:00Z"),
    "duration": (r"\bPT?\d+[DHMS]\b", "PT5S"),
    "email": (r"[\w.+-]+@[\w-]+\.[\w.]*\w", "ox@example.com"),
    "ipv4": (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "192.0.2.1"),
    "uuid": (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "00000000-0000-4000-8000-000000000000"),
}  # fmt: skip
_SAMPLES = ("ox", "OXE", "Ox", "ox-1", "1", "12", "123", "1234", "12345", "2026-01-01", "#a0522d", "en-US", "16:9")  # fmt: skip


class PromptValues:
    """What a prompt offers for arguments; each number, quoted string and URL is handed out once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sources = [text]
        self.urls: list[str] = _URL.findall(text)
        plain = _URL.sub(" ", text)
        self.strings = [_unquoted(match) for match in _QUOTED.finditer(plain)]
        self.numbers = [_number(found) for found in _NUMBER.findall(_QUOTED.sub(" ", plain))]

    def add_result(self, text: str) -> None:
        """Offer the URLs of a tool's result, and the values it names, as well."""
        self._sources.append(text)
        self.urls += _URL.findall(text)

    def named(self, name: str, kind: str) -> Iterator[Any]:
        """Yield the values that stand right after a parameter's name: `duration 5`, `city: Oslo`."""
        if not name:
            return
        spoken = re.escape(name).replace("_", "[ _-]")
        label = rf"(?<![^\W_])[\"'`]?{spoken}[\"'`]?(\s*[:=]\s*|\s+)"
        for source in self._sources:
            for match in re.finditer(label, source, re.IGNORECASE):
                rest, labeled = source[match.end() :], bool(match[1].strip())
                if kind in ("integer", "number"):
                    found = _NUMBER.match(rest)
                    yield from [_number(found[0])] if found else []
                elif kind == "boolean":
                    found = re.match(r"true\b|false\b", rest, re.IGNORECASE)
                    yield from [found[0].lower() == "true"] if found else []
                elif found := _QUOTED.match(rest):
                    yield _unquoted(found)
                elif labeled and (found := re.match(r"[\w./:+-]*\w", rest)):
                    yield found[0]

    def names(self, name: str) -> bool:
        """Tell whether a value stands right after a parameter's name."""
        kinds = ("string", "number", "boolean")
        return any(True for kind in kinds for _ in self.named(name, kind))

    def mentions(self, value: Any) -> bool:
        """Tell whether the prompt has a string as words of their own."""
        if not isinstance(value, str) or not value:
            return False
        spoken = re.escape(value).replace("_", "[ _-]")
        return bool(re.search(rf"(?<!\w){spoken}(?!\w)", self.text, re.IGNORECASE))

    def count(self, schema: Schema) -> int:
        """Count the numbers or strings that fit a schema which leaves the choice open."""
        if "enum" in schema or "const" in schema:
            return 0
        return sum(fits(schema, value) for value in self._offered(kind_of(schema)))

    def take(self, schema: Schema, kind: str) -> Any:
        """Return the next string or number that fits a schema, else None."""
        offered = self._offered(kind)
        for value in offered:
            if fits(schema, value):
                offered.remove(value)
                return value
        return None

    def use(self, value: Any) -> None:
        """Do not hand out a value again."""
        for offered in (self.numbers, self.strings, self.urls):
            if value in offered and not isinstance(value, bool):
                offered.remove(value)

    def _offered(self, kind: str) -> list[Any]:
        if kind == "string":
            return self.strings
        return self.numbers if kind in ("integer", "number") else []


def _unquoted(match: re.Match[str]) -> str:
    return str(next(filter(None, match.groups())))


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def synthesize(schema: Schema, values: PromptValues) -> Any:
    """Return a valid instance of a schema.

    Required properties are filled, so are constants and `prompt`, and others where the prompt
    names them or has a URL for them. What the prompt does not give is made up.
    """
    return _Synthesis(schema, values).value(schema, "", required=True)


class _Synthesis:
    def __init__(self, root: Schema, values: PromptValues) -> None:
        self._root = root
        self._values = values

    def value(self, schema: Any, name: str, *, required: bool, within: _Refs = ()) -> Any:
        """Return an instance, or _ABSENT for an optional one that the prompt does not ask for."""
        branch, refs = self._choose(schema, within)
        kind = kind_of(branch)
        if "const" in branch:
            return branch["const"]
        if "enum" in branch:
            return self._option(branch, name, required=required)
        if kind == "object":
            return self._object(branch, refs) if required else _ABSENT
        if kind == "array":
            wanted = required or self._offers_url(name, branch.get("items"))
            return self._array(branch, name, refs) if wanted else _ABSENT
        if kind == "null":
            return None if required else _ABSENT
        for value in self._values.named(name, kind):
            if fits(branch, value):
                self._values.use(value)
                return value
        if kind == "string" and takes_url(name, branch):
            for url in self._values.urls:
                if fits(branch, url):
                    self._values.use(url)
                    return url
        return self._scalar(branch, kind, name) if required else _ABSENT

    def _choose(self, schema: Any, within: _Refs) -> tuple[Schema, _Refs]:
        """Follow references and pick a branch of each union.

        That is one the prompt mentions, else the first, null last; but never one that leads back
        into a reference that is being followed where another does not, so that recursion ends.
        """
        branches = list(self._branches(schema, within))
        fewest = min(_repeats(refs) for _, refs in branches)
        usable = [branch for branch in branches if _repeats(branch[1]) == fewest]
        usable.sort(key=lambda branch: branch[0].get("type") == "null")
        mentioned = (branch for branch in usable if self._is_mentioned(branch[0]))
        branch, refs = next(mentioned, usable[0])
        return ({"type": "null"} if len(refs) > _DEEPEST else branch), refs

    def _is_mentioned(self, branch: Schema) -> bool:
        """Tell whether the prompt has one of the constants that tell a branch from others."""
        for part in (branch.get("properties") or {}).values():
            options = part.get("enum", [part.get("const")]) if isinstance(part, dict) else []
            if len(options) == 1 and self._values.mentions(options[0]):
                return True
        return False

    def _branches(self, schema: Any, within: _Refs) -> Iterator[tuple[Schema, _Refs]]:
        if not isinstance(schema, dict):
            yield {}, within
            return
        merged, refs = self._merged(schema, within)
        union = merged.pop("anyOf", None) or merged.pop("oneOf", None)
        if union and _repeats(refs) < 3:
            for part in union:
                for branch, branch_refs in self._branches(part, refs):
                    yield joined(merged, branch), branch_refs
        elif isinstance(merged.get("type"), list):
            yield from (({**merged, "type": kind}, refs) for kind in merged["type"])
        else:
            yield merged, refs
        if merged.get("nullable"):
            yield {"type": "null"}, refs

    def _merged(self, schema: Schema, within: _Refs) -> tuple[Schema, _Refs]:
        """Put a schema together from its references and `allOf`; keywords that are null go."""
        refs = within
        while "$ref" in schema and len(refs) <= _DEEPEST:
            refs = (*refs, schema["$ref"])
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._target(refs[-1]), **rest}
        kept = {k: v for k, v in schema.items() if v is not None or k in ("const", "default")}
        for part in kept.pop("allOf", ()):
            branch, refs = self._choose(part, refs)
            kept = joined(kept, branch)
        return kept, refs

    def _target(self, reference: str) -> Schema:
        target: Any = self._root
        for step in reference.lstrip("#/").split("/") if reference != "#" else ():
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(name) if isinstance(target, list) else name]
            except (LookupError, TypeError, ValueError):
                return {}
        return target if isinstance(target, dict) else {}

    def _object(self, schema: Schema, refs: _Refs) -> dict[str, Any]:
        needed = schema.get("required")
        needed = needed if isinstance(needed, list) else []  # draft 3 says true
        properties = schema.get("properties") or {}
        made = dict.fromkeys(properties, _ABSENT)
        # What the prompt names is taken first, so that no other parameter gets it.
        for name in sorted(properties, key=lambda name: not self._values.names(name)):
            wanted = name in needed or name == "prompt"
            made[name] = self.value(properties[name], name, required=wanted, within=refs)
        made = {name: value for name, value in made.items() if value is not _ABSENT}
        extra = schema.get("additionalProperties")
        for name in needed:
            if name not in made:
                made[name] = self.value(extra, name, required=True, within=refs)
        return made

    def _array(self, schema: Schema, name: str, refs: _Refs) -> list[Any]:
        if parts := schema.get("prefixItems"):
            return [self.value(part, name, required=True, within=refs) for part in parts]
        item, item_refs = self._choose(schema.get("items", {}), refs)
        least = schema.get("minItems", 0)
        wanted = least if _repeats(item_refs) > _repeats(refs) else max(least, 1)
        if not self._offers_url(name, item):
            wanted = max(wanted, self._values.count(item))
        wanted = min(wanted, schema.get("maxItems", max(least, _MOST_ITEMS)))
        singular = name.removesuffix("s")
        return [self.value(item, singular, required=True, within=item_refs) for _ in range(wanted)]

    def _option(self, schema: Schema, name: str, *, required: bool) -> Any:
        options = [option for option in schema["enum"] if option is not None] or [None]
        for kind in ("string", "number"):
            for value in self._values.named(name, kind):
                for option in options:
                    if str(option).lower() == str(value).lower():
                        self._values.use(value)
                        return option
        if required or len(options) == 1:
            return next(filter(self._values.mentions, options), schema.get("default", options[0]))
        return _ABSENT

    def _offers_url(self, name: str, schema: Any) -> bool:
        return bool(self._values.urls) and takes_url(name, schema)

    def _scalar(self, schema: Schema, kind: str, name: str) -> Any:
        """Take the prompt's next value that fits, else the default, else make one up."""
        if kind == "boolean":
            return schema.get("default", True)
        if not schema.get("format") and not takes_url(name, schema):
            value = self._values.take(schema, kind)
            if value is not None:
                return value
        if schema.get("default") not in (None, ""):
            return schema["default"]
        return self._string(schema, name) if kind == "string" else _nearest_to_one(schema)

    def _string(self, schema: Schema, name: str) -> str:
        text = self._values.text
        if takes_url(name, schema) and fits(schema, _URL_SAMPLE):
            return _URL_SAMPLE
        if wanted := _FORMATS.get(schema.get("format", "")):
            found = re.search(wanted[0], text)
            return found.group() if found else wanted[1]
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if schema.get("pattern"):
            repeated = (sign * size for sign in "a1A" for size in range(1, 65))
            options = (*re.findall(r"[\w#./:-]*\w", text), *_SAMPLES, *repeated)
            return next((option for option in options if fits(schema, option)), "")
        return (text.strip() or name or "ox")[:most].ljust(least, ".")


def _repeats(refs: _Refs) -> int:
    return len(refs) - len(set(refs))


def kind_of(schema: Schema) -> str:
    """Return the one type of a schema without unions; what names no type is a string."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def joined(left: Schema, right: Schema) -> Schema:
    """Merge two schemas that both hold."""
    both = {**left, **right}
    if "properties" in left and "properties" in right:
        both["properties"] = {**left["properties"], **right["properties"]}
    if "required" in left and "required" in right:
        both["required"] = [*left["required"], *right["required"]]
    return both


def fits(schema: Schema, value: Any) -> bool:
    """Check a scalar against its schema."""
    kind = kind_of(schema)
    if kind in ("integer", "number"):
        if not _is_number(value) or (kind == "integer" and not isinstance(value, int)):
            return False
        low, high = _bounds(schema)
        step = schema.get("multipleOf", 0)
        even = not step or math.isclose(value / step, round(value / step), abs_tol=1e-9)
        return low <= value <= high and even
    if kind == "string":
        short, long = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        pattern = schema.get("pattern", "")
        return (
            isinstance(value, str)
            and short <= len(value) <= long
            and bool(re.search(pattern, value))
        )
    return kind != "boolean" or isinstance(value, bool)


def takes_url(name: str, schema: Any) -> bool:
    """Tell whether a string parameter takes the URL of a file, by its schema or its name."""
    if not isinstance(schema, dict):
        return False
    by_schema = schema.get("format") in ("uri", "url") or "-url" in str(schema.get("renderType"))
    return by_schema or bool(_URL_NAME.search(name))


def _bounds(schema: Schema) -> tuple[float, float]:
    """Return the inclusive range of a number; exclusive bounds move to the next value."""
    low: float = schema.get("minimum", -math.inf)
    high: float = schema.get("maximum", math.inf)
    whole = kind_of(schema) == "integer"
    above: Any = schema.get("exclusiveMinimum")
    below: Any = schema.get("exclusiveMaximum")
    if _is_number(above):
        low = max(low, math.floor(above) + 1 if whole else math.nextafter(above, math.inf))
    if _is_number(below):
        high = min(high, math.ceil(below) - 1 if whole else math.nextafter(below, -math.inf))
    return low, high


def _nearest_to_one(schema: Schema) -> int | float:
    low, high = _bounds(schema)
    value = min(max(1, low), high)
    if step := schema.get("multipleOf"):
        value = math.ceil(value / step) * step
        value = value if value <= high else value - step
    return math.ceil(value) if kind_of(schema) == "integer" else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
