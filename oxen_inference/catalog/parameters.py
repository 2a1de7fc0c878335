"""A model's own parameters: which there are, what they may be, and whether a call fits them.

Some parameters belong to every request whatever the model's schema says. A null counts as left out
unless the schema gives null a meaning of its own. A model without a readable schema accepts
everything: only the hub can judge then.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.schema import (
    Schema,
    SchemaMismatch,
    allows_null,
    alternatives,
    coerce,
    is_url,
    number_of,
    properties_of,
    required_of,
    shown,
    types_of,
)
from oxen_inference.catalog.suggestions import did_you_mean, suggestion

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

COMMON: Mapping[str, Schema] = {
    "num_generations": {
        "type": "integer",
        "minimum": 1,
        "maximum": 4,
        "default": 1,
        "description": "How many results to make; each is paid for.",
    },
    "response_format": {"type": "string", "enum": ["url", "b64_json"], "default": "url"},
    "target_namespace": {"type": "string", "description": "Who is billed and keeps the results."},
    "target_repo": {"type": "string", "description": "The repository that keeps the results."},
    "target_directory": {"type": "string", "description": "The folder that keeps the results."},
    "voice": {"type": "string", "description": "Who speaks, where the model can speak."},
    "save_to_workbench": {"type": "boolean", "description": "Whether Oxen's workbench shows it."},
}
"""Parameters of every request (https://docs.oxen.ai/inference-api), whatever the model."""

PATH_HINT = "Pass a URL, a data URL, or a pathlib.Path with allow_paths=True."

# What other APIs call a parameter → what models here may have in its place.
_SIZE = "size image_size video_size width height aspect_ratio resolution"
_SAME: Mapping[str, str] = {
    "size": "width height aspect_ratio resolution",
    **dict.fromkeys(("width", "height", "dimensions", "image_size", "output_size"), _SIZE),
    **dict.fromkeys(("aspect", "ratio"), "aspect_ratio size image_size"),
    **dict.fromkeys(("n", "count", "num_images", "num_outputs", "samples"), "num_generations"),
    **dict.fromkeys(("seconds", "length", "duration"), "duration seconds num_frames"),
    **dict.fromkeys(("steps", "num_steps"), "num_inference_steps steps"),
    **dict.fromkeys(("guidance_scale", "cfg_scale", "cfg"), "guidance guidance_scale cfg_scale"),
    **dict.fromkeys(("format", "file_format"), "output_format"),
    **dict.fromkeys(("text", "input", "description"), "prompt"),
}
_MOST_LISTED = 12

# One letter is no scheme but a drive.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_LONGEST_PATH = 4_096


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters that a model documents, in the order in which people should meet them."""

    fields: Mapping[str, Schema]
    required: frozenset[str] = frozenset()
    open: bool = False
    """Whether names that are not documented are accepted too."""
    note: str | None = None
    """Why nothing is known about the parameters, where that is so."""

    def is_hidden(self, name: str) -> bool:
        """Whether the hub asks not to show it."""
        return self.fields[name].get("x-hidden") is True

    def default(self, name: str) -> Any:
        """Return the documented default, or None."""
        return self.fields[name].get("default")

    def must_be_given(self, name: str) -> bool:
        """Whether a call without it is refused; an empty string is no default for a prompt."""
        return name in self.required and self.default(name) in (None, "")

    def sends_null(self, name: str) -> bool:
        """Whether null means something that leaving it out does not, and so is sent."""
        has_meaning = self.default(name) is not None or name in self.required
        return has_meaning and allows_null(self.fields[name])


# A model never changes; one that was fetched later is equal if it says the same.
@lru_cache(maxsize=256)
def parameters(model: Model) -> Parameters:
    """Return what `model.request_schema` documents."""
    root = model.request_schema
    if not root:
        return Parameters({}, open=True, note=f"{model.id} documents no parameters")
    fields = {
        str(name): spec if isinstance(spec, Mapping) else {}
        for name, spec in properties_of(root).items()
    }
    if not fields:
        note = f"{model.id} documents its parameters in a way this version cannot read"
        return Parameters({}, open=True, note=note)
    others = root.get("additionalProperties")
    return Parameters(
        fields={name: fields[name] for name in _in_order(fields, root.get("basic"))},
        required=frozenset(required_of(root)) & fields.keys(),
        open=others is True or isinstance(others, Mapping),
    )


def validate(model: Model, params: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Return `params` in the form that the model's schema asks for.

    Numbers and strings that mean a listed value become it, tuples become lists, nulls are left
    out. `partial` ignores parameters that are missing. Raises `InvalidInputError` naming every
    parameter that does not fit, what is allowed, and the closest name of an unknown one.
    """
    known = parameters(model)
    files = {n: _local_file(v, known.fields.get(n)) for n, v in params.items()}
    files = {name: file for name, file in files.items() if file is not None}
    sendable = {name: value for name, value in params.items() if name not in files}
    coerced, problems = _checked(known, sendable, partial=partial or bool(files))
    problems += [f"{name} must be a URL, not {file}" for name, file in files.items()]
    if coerced.get("model", model.id) != model.id and "model" not in known.fields:
        problems.append(f"model is {model.id}, not {shown(coerced['model'])}")
    if problems:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"{model.id} cannot be called like this: {'; '.join(problems)}.",
            hint=PATH_HINT if files else None,
        )
    return coerced


def check_arguments(known: Parameters, params: Mapping[str, Any]) -> dict[str, Any]:
    """Do what `validate` does, for parameters in hand. Raises `ValueError`."""
    coerced, problems = _checked(known, params, partial=False)
    if "model" in coerced and "model" not in known.fields:
        problems.append("model is not one of its parameters")
    if problems:
        raise ValueError("; ".join(problems))
    return coerced


def _checked(
    known: Parameters, params: Mapping[str, Any], *, partial: bool
) -> tuple[dict[str, Any], list[str]]:
    coerced: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in params.items():
        rules = known.fields.get(name, COMMON.get(name))
        if rules is None:
            if not (known.open or name == "model"):
                problems.append(f"{name} is not one of its parameters{_instead(known, name)}")
            if value is not None:
                coerced[name] = value
            continue
        if value is None and not (name in known.fields and known.sends_null(name)):
            continue
        try:
            coerced[name] = _fit(value, rules)
        except SchemaMismatch as mismatch:
            given = "" if mismatch.path else f", not {shown(value)}"
            problems.append(f"{name}{mismatch.path} {mismatch.rule}{given}")
    if not partial:
        problems += _missing(known, coerced, params)
    return coerced, problems


def _instead(known: Parameters, name: str) -> str:
    """Say what a call may give in place of a parameter that there is not, after the refusal."""
    own = [each for each in _SAME.get(name, "").split() if each in known.fields or each in COMMON]
    if own:
        return f" (use {' or '.join(own)})"
    if near := suggestion(did_you_mean(name, [*known.fields, *COMMON])):
        return f" ({near[0].lower()}{near[1:]})"
    shown = [each for each in known.fields if not known.is_hidden(each)]
    more = ", …" if len(shown) > _MOST_LISTED else ""
    return f" (it takes {', '.join(shown[:_MOST_LISTED])}{more})" if shown else ""


def _fit(value: Any, rules: Schema) -> Any:
    """Return a value as its schema asks for it; one item for a list becomes a list of one.

    Raises `SchemaMismatch`.
    """
    try:
        return coerce(value, rules)
    except SchemaMismatch:
        is_list = isinstance(value, list | tuple) or value is None
        # Some models write a list as a text: that is no single item.
        is_written_list = isinstance(value, str) and value.lstrip().startswith("[")
        if is_list or is_written_list or not any(map(_takes_list, alternatives(rules))):
            raise
        try:
            return coerce([value], rules)
        except SchemaMismatch as mismatch:
            if not mismatch.path.startswith("[0]"):
                raise
            raise SchemaMismatch(mismatch.rule, mismatch.path.removeprefix("[0]")) from None


def _takes_list(rules: Schema) -> bool:
    return "array" in types_of(rules)


def _missing(
    known: Parameters, coerced: Mapping[str, Any], params: Mapping[str, Any]
) -> Iterator[str]:
    prompt, shots = coerced.get("prompt"), coerced.get("multi_prompt")
    either = {"prompt", "multi_prompt"} <= known.fields.keys()
    if either:
        if prompt and shots:
            yield "cannot provide both prompt and multi_prompt"
        elif not (prompt or shots or known.default("multi_prompt")):
            yield "either prompt or multi_prompt must be provided"
    for name in known.fields:
        if name not in known.required or (either and name == "prompt"):
            continue
        if name not in coerced and known.must_be_given(name):
            if params.get(name) is None:
                yield f"{name} is missing"
        elif name == "prompt" and isinstance(prompt, str) and not prompt.strip():
            yield "prompt cannot be empty"


def _in_order(fields: Mapping[str, Schema], basic: object) -> list[str]:
    listed = basic if isinstance(basic, list) else []
    first = {name for name in listed if isinstance(name, str)}

    def rank(name: str) -> tuple[bool, Any]:
        order = number_of(fields[name].get("x-order"))
        return (name not in first, order if order is not None else float("inf"))

    return sorted(fields, key=rank)


def _local_file(value: Any, spec: object, render: object = None) -> str | None:
    """Return in words the file, or bytes, that was given where a URL belongs; None for neither."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    if isinstance(value, PurePath):
        return f"the local file {value}"
    for rules in alternatives(spec):
        render_type = rules.get("renderType", render)
        if isinstance(value, str):
            takes_url = is_url(rules) or str(render_type or "").endswith("-url")
            if takes_url and _is_path(value):
                return f"the local file {value[:80]}"
        # A single item is a list of one.
        is_item = isinstance(value, str) and _takes_list(rules)
        for inner, about in _inside([value] if is_item else value, rules):
            found = _local_file(inner, about, render_type)
            if found is not None:
                return found
    return None


def _inside(value: Any, rules: Schema) -> list[tuple[Any, object]]:
    if isinstance(value, Mapping):
        specs = properties_of(rules)
        return [(inner, specs.get(name)) for name, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(inner, rules.get("items")) for inner in value]
    return []


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
