"""What the hub checks of a generation: some of it before it is accepted, parameters when it runs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from oxen_sandbox.models import JSON, Catalog, outputs
from oxen_sandbox.state import Account
from oxen_sandbox.wire import Rejected, invalid_params

_MAX_GENERATIONS = 4
_SENDABLE = ("http://", "https://", "data:")


class WrongModality(Rejected):
    """The model makes something else."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message, "invalid_params", shape="oxen")


def media_model(
    models: Catalog,
    account: Account,
    body: JSON,
    kinds: set[str],
    count_names: tuple[str, ...] = (),
) -> tuple[JSON, str, int]:
    """The model, its media type and how many to make; raises `Rejected`."""
    if not body.get("model"):
        raise Rejected(400, "You must specify a model to call")
    model = models.find(body["model"])
    kind = next((made for made in outputs(model) if made in kinds), None)
    if kind is None:
        raise WrongModality(f"{model['id']} does not generate {' or '.join(sorted(kinds))}.")
    count = _count(body, ("num_generations", *count_names))
    _check_prompt(kind, model, body)
    if account.credits <= 0:
        raise Rejected(402, "Insufficient credits", "insufficient_credits", shape="oxen")
    return model, kind, count


def _count(body: JSON, names: tuple[str, ...]) -> int:
    for name in names:
        count: Any = body.get(name)
        if count is None:
            continue
        if (
            isinstance(count, bool)
            or not isinstance(count, int)
            or not 1 <= count <= _MAX_GENERATIONS
        ):
            raise invalid_params(f"{name} must be an integer between 1 and {_MAX_GENERATIONS}")
        return count
    return 1


def _check_prompt(kind: str, model: JSON, body: JSON) -> None:
    prompt, multi = body.get("prompt"), body.get("multi_prompt")
    if prompt and multi:
        raise invalid_params("Cannot provide both 'prompt' and 'multi_prompt'.")
    if prompt or multi:
        return
    schema = model.get("request_schema") or {}
    fields = schema.get("properties") or {}
    if "multi_prompt" in fields:
        raise invalid_params("Either 'prompt' or 'multi_prompt' must be provided.")
    if fields and ("prompt" not in fields or "prompt" not in (schema.get("required") or [])):
        return  # an upscaler needs no words
    if "prompt" not in body and "default" in fields.get("prompt", {}):
        return
    if kind == "video" and prompt is None:
        raise invalid_params("Either 'prompt' or 'multi_prompt' must be provided.")
    raise invalid_params("Prompt cannot be empty")


def _enum(_: Validator, allowed: list[Any], value: Any, __: Any) -> Iterator[ValidationError]:
    # Published enums spell numbers as strings ("4") under a type of integer or string.
    if value not in allowed and (isinstance(value, bool) or str(value) not in map(str, allowed)):
        yield ValidationError(f"{json.dumps(value)} is not one of {json.dumps(allowed)}")


_Validator = extend(Draft202012Validator, {"enum": _enum})  # type: ignore[no-untyped-call]  # stubs lack it


def problem(schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> str | None:
    """What is wrong with `params`, or None. Names the schema lacks are ignored."""
    if not schema:
        return None
    fields = schema.get("properties") or {}
    given = {name: value for name, value in params.items() if value is not None}
    missing = [
        name
        for name in schema.get("required") or []
        if name not in given
        and "default" not in fields.get(name, {})
        and "multi_prompt" not in given
    ]
    if missing:
        return f"{missing[0]}: this parameter is required"
    checked = {"type": "object", "properties": fields}
    for error in _Validator(checked).iter_errors(given):
        where = ".".join(str(step) for step in error.absolute_path)
        return f"{where}: {error.message}"
    return next(_bad_inputs(fields, given), None)


def inputs(fields: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every file the request refers to, as (parameter, URL)."""
    for name, field in fields.items():
        if field.get("format") == "uri" or field.get("renderType"):
            values = given.get(name)
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str):
                    yield name, value


def has_inline_face(given: Mapping[str, Any]) -> bool:
    """Whether a file that shows a face is a data URL, which its provider does not take."""
    values = (value for name, value in given.items() if "_face_" in f"_{name}_")
    listed = (one for value in values for one in (value if isinstance(value, list) else [value]))
    return any(isinstance(one, str) and one.startswith("data:") for one in listed)


def _bad_inputs(fields: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in inputs(fields, given):
        if not value.startswith(_SENDABLE):
            yield f"{name}: not a public URL or a data URL"
