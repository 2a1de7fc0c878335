"""Files of this computer, given where a model takes an address it can fetch from."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from oxen_inference.catalog.json_schema import Schema, alternatives
from oxen_inference.catalog.tool_names import item_kinds

PATH_HINT = "Pass a URL, a data URL, or a pathlib.Path with allow_paths=True."
# One letter is no scheme but a drive.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_LONGEST_PATH = 4_096


def local_file(value: Any, spec: object, root: Schema, render: object = None) -> str | None:
    """Return the file, or bytes, that is given where a URL belongs, in words; None for neither."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    if isinstance(value, PurePath):
        return f"the local file {value}"
    forms = list(alternatives(spec, root))
    if isinstance(value, str):
        is_address = any(_takes_address(rules, render) for rules in forms)
        return f"the local file {value[:80]}" if is_address and _is_path(value) else None
    for rules in forms:
        for inner, about in _inside(value, rules):
            found = local_file(inner, about, root, rules.get("renderType", render))
            if found is not None:
                return found
    return None


def _inside(value: Any, rules: Schema) -> list[tuple[Any, object]]:
    if isinstance(value, Mapping):
        specs = rules.get("properties")
        specs = specs if isinstance(specs, Mapping) else {}
        return [(inner, specs.get(name)) for name, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(inner, kind) for inner in value for kind in item_kinds(rules) or [None]]
    return []


def _takes_address(rules: Schema, render: object) -> bool:
    shown = str(rules.get("renderType", render) or "")
    return rules.get("format") in ("uri", "url") or shown.endswith("-url")


def _is_path(value: str) -> bool:
    if value.lower().startswith("file:"):
        return True
    if not value.strip() or len(value) > _LONGEST_PATH or _SCHEME.match(value):
        return False
    kind = mimetypes.guess_type(value)[0] or ""
    try:
        is_there = Path(value).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # names that no file can have
        is_there = False
    return is_there or kind.startswith(("image/", "video/", "audio/"))
