"""Models read from any of the shapes they come in: today's, older ones, and odd ones.

Only `id` is needed to use a model; every other field may be missing, renamed or of an
unexpected type, and is then left out, kept in `raw`, and named in `Model.problems`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from oxen_inference.catalog.field_reading import Row, kind_of, number_in, text_in
from oxen_inference.catalog.models import MODALITIES, CatalogWarning, Deployment, Model, made_at
from oxen_inference.catalog.price_reading import read_pricing
from oxen_inference.errors import APIResponseError

_MADE_BY_METHOD = {
    "per_image": "image",
    "per_video_output_second": "video",
    "per_audio_output_second": "audio",
}


def read_model(payload: object, *, fallback_id: str | None = None) -> Model:
    """Read one model: flat, or under ``data`` or ``model``; in today's shape or an older one.

    Never raises for an odd field. Raises `APIResponseError` if nothing in it names a model.
    """
    row = _unwrap(payload)
    model_id = _name_of(row) or fallback_id
    if not model_id:
        raise APIResponseError("Oxen described a model without its id.", body=payload)
    return _read(row if isinstance(row, Mapping) else {}, model_id)


def read_models(payload: object) -> list[Model]:
    """Read a list of models in any known envelope; what is odd is named in a `CatalogWarning`.

    Never raises: a row that names no model is left out, since nothing could be done with it.
    """
    models: dict[str, Model] = {}
    odd: list[str] = []
    for position, (name, row) in enumerate(_rows(payload, odd), start=1):
        try:
            model = read_model(row, fallback_id=name)
        except APIResponseError:
            odd.append(f"row {position} names no model and is left out")
            continue
        odd += [f"{model.id}: {problem}" for problem in model.problems]
        if model.id in models:
            odd.append(f"{model.id} is listed twice; the first is used")
        models.setdefault(model.id, model)
    if odd:
        shown = "; ".join(odd[:10]) + (f"; and {len(odd) - 10} more" if len(odd) > 10 else "")
        warnings.warn(f"Oxen's catalog is odd: {shown}.", CatalogWarning, stacklevel=2)
    return list(models.values())


def normal_endpoint(value: str) -> str:
    """Reduce any spelling of an endpoint to ``/images/generate`` style."""
    path = re.sub(r"^[a-z][a-z0-9+.-]*://[^/]*", "", value.strip(), flags=re.IGNORECASE)
    path = "/" + path.partition("?")[0].strip("/")
    return re.sub(r"^/api(/ai)?(?=/)|^/ai(?=/)", "", path)


def _unwrap(payload: object) -> object:
    for _ in range(4):
        if isinstance(payload, list) and len(payload) == 1:
            payload = payload[0]
        elif isinstance(payload, Mapping) and _name_of(payload) is None:
            inner = next((payload[k] for k in ("data", "model") if k in payload), None)
            if not isinstance(inner, Mapping | list):
                break
            payload = inner
        else:
            break
    return payload


def _rows(payload: object, odd: list[str]) -> Iterator[tuple[str | None, object]]:
    """The rows of a list, each with the name it was filed under, if any."""
    for _ in range(4):
        if not isinstance(payload, Mapping) or _name_of(payload):
            break
        inner = next((payload[k] for k in ("data", "models") if payload.get(k) is not None), None)
        if inner is None:
            break
        payload = inner
    if isinstance(payload, Mapping):
        if _name_of(payload):
            yield None, payload
            return
        filed = {name: row for name, row in payload.items() if isinstance(row, Mapping)}
        if filed:
            yield from ((str(name), row) for name, row in filed.items())
            return
    if not isinstance(payload, Iterable) or isinstance(payload, str | bytes | Mapping):
        odd.append("there is no list of models in the answer")
        return
    yield from ((None, row) for row in payload)


def _name_of(row: object) -> str | None:
    if isinstance(row, str):
        return row.strip() or None
    if not isinstance(row, Mapping):
        return None
    for key in ("id", "name", "model_name"):
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _read(row: Row, model_id: str) -> Model:
    problems: list[str] = []
    if not isinstance(row.get("id", row.get("name")), str):
        problems.append("its id is not a string" if "id" in row else "it has no id field")
    endpoint = text_in(row, "endpoint", problems)
    endpoint = normal_endpoint(endpoint) if endpoint else None
    pricing = read_pricing(row.get("pricing"), problems)
    inputs, outputs = _read_capabilities(row, problems)
    if not outputs:
        method = pricing.method if pricing else None
        guess = made_at(endpoint) or _MADE_BY_METHOD.get(method or "")
        outputs = (guess,) if guess else ()
    return Model(
        id=model_id,
        object=text_in(row, "object", problems) or "model",
        created=number_in(row, "created", problems),
        owned_by=text_in(row, "owned_by", problems),
        display_name=text_in(row, "display_name", problems),
        description=text_in(row, "description", problems),
        summary=text_in(row, "summary", problems),
        model_type=(text_in(row, "model_type", problems) or "").lower() or None,
        endpoint=endpoint,
        inputs=inputs,
        outputs=outputs,
        pricing=pricing,
        deployments=_read_deployments(row.get("deployments"), problems),
        request_schema=_read_schema(row, problems),
        developer=_read_developer(row, problems),
        source_model=text_in(row, "source_model", problems),
        released_at=text_in(row, "released_at", problems),
        raw=row,
        problems=tuple(problems),
    )


def _read_capabilities(row: Row, problems: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    capabilities = row.get("capabilities")
    if capabilities is not None and not isinstance(capabilities, Mapping):
        problems.append(f"capabilities is {kind_of(capabilities)}, not an object")
    fields = capabilities if isinstance(capabilities, Mapping) else {}
    return (
        _modalities(fields.get("input", fields.get("inputs")), "capabilities.input", problems),
        _modalities(fields.get("output", fields.get("outputs")), "capabilities.output", problems),
    )


def _modalities(value: object, name: str, problems: list[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = re.split(r"[,\s+]+", value)
    elif isinstance(value, Mapping):  # {"text": true, "image": false}
        value = [key for key, has in value.items() if has]
    if not isinstance(value, list | tuple):
        problems.append(f"{name} is {kind_of(value)}, not a list")
        return ()
    words = [item.strip().lower() for item in value if isinstance(item, str) and item.strip()]
    if len(words) < len(value):
        problems.append(f"{name} holds something that is not a modality")
    singular = (word[:-1] if word[:-1] in MODALITIES else word for word in words)
    return tuple(dict.fromkeys(singular))


def _read_deployments(value: object, problems: list[str]) -> tuple[Deployment, ...]:
    if value is None:
        return ()
    rows = [value] if isinstance(value, Mapping | str) else value
    if not isinstance(rows, list | tuple):
        problems.append(f"deployments is {kind_of(value)}, not a list")
        return ()
    read: list[Deployment] = []
    for row in rows:
        fields = {"status": row} if isinstance(row, str) else row
        if not isinstance(fields, Mapping):
            problems.append("deployments holds something that is not a deployment")
            continue
        status = fields.get("status")
        word = status.strip().lower() if isinstance(status, str) else ""
        read.append(Deployment(status=word or "unknown", raw=fields))
    return tuple(read)


def _read_schema(row: Row, problems: list[str]) -> Mapping[str, Any] | None:
    name = "request_schema" if row.get("request_schema") is not None else "json_request_schema"
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            problems.append(f"{name} is a string that is not JSON")
            return None
    if value is None or isinstance(value, Mapping):
        return value
    problems.append(f"{name} is {kind_of(value)}, not an object")
    return None


def _read_developer(row: Row, problems: list[str]) -> str | None:
    value = row.get("developer")
    if isinstance(value, Mapping):
        return text_in(value, "name", problems)
    if value is None:
        return text_in(row, "developer_name", problems)
    return text_in(row, "developer", problems)
