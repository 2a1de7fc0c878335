"""Read models from any shape that a hub sends: today's, older ones, and malformed ones.

Only `id` is needed to use a model. Any other field may be missing, renamed or of an unexpected
type; it is then left out, kept in `raw`, and named in `Model.problems`.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from oxen_inference.catalog.models import (
    MODALITIES,
    OUTPUT_OF_METHOD,
    CatalogWarning,
    Deployment,
    Model,
    Pricing,
    output_of,
)
from oxen_inference.errors import APIResponseError
from oxen_inference.money import read_currency, read_money

Row = Mapping[str, Any]

_MOST_MODELS = 20_000
"""A longer list is read up to there: the hub has a few hundred."""
_LONGEST_CURRENCY = 20
_MOST_PRICE = Decimal(10) ** 6
"""USD; more is no price of one image, second or token."""

_OLDER_PRICES = {
    "video_cost_per_second": "cost_per_second",
    "video_cost_per_second_with_audio": "cost_per_second_with_audio",
    "video_cost_per_second_high_res": "cost_per_second_high_res",
}


def read_model(payload: object, *, fallback_id: str | None = None) -> Model:
    """Read one model: flat, or under ``data`` or ``model``; in today's shape or an older one.

    A malformed field raises nothing. Raises `APIResponseError` if nothing in it names a model.
    """
    row = _unwrap(payload)
    model_id = _name_of(row) or fallback_id
    if not model_id:
        raise APIResponseError("Oxen described a model without its id.", body=payload)
    return _read(row if isinstance(row, Mapping) else {}, model_id)


def read_models(payload: object) -> list[Model]:
    """Read a list of models in any known envelope.

    Never raises: what cannot be read is named in a `CatalogWarning`, and a row that names no model
    is left out.
    """
    models: dict[str, Model] = {}
    problems: list[str] = []
    for position, (name, row) in enumerate(_rows(payload, problems), start=1):
        if position > _MOST_MODELS:
            problems.append(f"only the first {_MOST_MODELS} models of the list are read")
            break
        try:
            model = read_model(row, fallback_id=name)
        except APIResponseError:
            problems.append(f"row {position} names no model and is left out")
            continue
        problems += [f"{model.id}: {problem}" for problem in model.problems]
        if model.id in models:
            problems.append(f"{model.id} is listed twice; the first is used")
        models.setdefault(model.id, model)
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        warnings.warn(
            f"Parts of Oxen's catalog could not be read: {'; '.join(problems[:10])}{more}.",
            CatalogWarning,
            stacklevel=2,
        )
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


def _rows(payload: object, problems: list[str]) -> Iterator[tuple[str | None, object]]:
    """Yield the rows of a list, each with the key that it stood under, if any."""
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
        by_key = {key: row for key, row in payload.items() if isinstance(row, Mapping)}
        if by_key:
            yield from ((str(key), row) for key, row in by_key.items())
            return
    if not isinstance(payload, Iterable) or isinstance(payload, str | bytes | Mapping):
        problems.append("there is no list of models in the answer")
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
    endpoint = _text_in(row, "endpoint", problems)
    endpoint = normal_endpoint(endpoint) if endpoint else None
    pricing = _read_pricing(row.get("pricing"), problems)
    inputs, outputs = _read_capabilities(row, problems)
    if not outputs:
        method = pricing.method if pricing else None
        guess = output_of(endpoint) or OUTPUT_OF_METHOD.get(method or "")
        outputs = (guess,) if guess else ()
    return Model(
        id=model_id,
        object=_text_in(row, "object", problems) or "model",
        created=_number_in(row, "created", problems),
        owned_by=_text_in(row, "owned_by", problems),
        display_name=_text_in(row, "display_name", problems),
        description=_text_in(row, "description", problems),
        summary=_text_in(row, "summary", problems),
        model_type=(_text_in(row, "model_type", problems) or "").lower() or None,
        endpoint=endpoint,
        inputs=inputs,
        outputs=outputs,
        pricing=pricing,
        deployments=_read_deployments(row.get("deployments"), problems),
        request_schema=_read_schema(row, problems),
        developer=_read_developer(row, problems),
        source_model=_text_in(row, "source_model", problems),
        released_at=_text_in(row, "released_at", problems),
        raw=row,
        problems=tuple(problems),
    )


def _read_pricing(value: object, problems: list[str]) -> Pricing | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        problems.append(f"pricing is {_type_in_words(value)}, not an object")
        return None
    fields = {_OLDER_PRICES.get(str(name), str(name)): price for name, price in value.items()}
    fields |= {str(name): price for name, price in value.items() if price is not None}
    currency = _currency(fields)
    if currency != "USD":
        problems.append(f"its prices are in {currency}, not in USD, and are not read")
        return Pricing(method=_method(fields, problems), currency=currency, raw=value)

    def price(name: str) -> Decimal | None:
        return _price(fields.get(name), f"pricing.{name}", problems)

    by_resolution = fields.get("cost_per_second_by_resolution")
    grid = fields.get("cost_per_image_grid")
    return Pricing(
        method=_method(fields, problems),
        input_cost_per_token=price("input_cost_per_token"),
        output_cost_per_token=price("output_cost_per_token"),
        cost_per_second=price("cost_per_second"),
        cost_per_second_high_res=price("cost_per_second_high_res"),
        cost_per_second_with_audio=price("cost_per_second_with_audio"),
        cost_per_second_by_resolution=_prices(
            by_resolution, "pricing.cost_per_second_by_resolution", problems
        ),
        cost_per_credit=price("cost_per_credit"),
        cost_per_image=price("cost_per_image"),
        cost_per_image_grid=_grid(grid, problems),
        raw=value,
    )


def _currency(fields: Row) -> str:
    return read_currency(fields.get("currency"))[:_LONGEST_CURRENCY]


def _method(fields: Row, problems: list[str]) -> str | None:
    method = _text_in(fields, "method", problems)
    if method:
        return re.sub(r"[\s-]+", "_", method.lower())
    if "video_cost_per_second" in fields:  # the older page's shape does not always name one
        return "per_video_output_second"
    if fields.get("cost_per_image") is not None or fields.get("cost_per_image_grid"):
        return "per_image"
    if fields.get("input_cost_per_token") is not None:
        return "token"
    return None


def _grid(value: object, problems: list[str]) -> dict[str, dict[str, Decimal | None]]:
    if not isinstance(value, Mapping):
        if value is not None:
            problems.append(
                f"pricing.cost_per_image_grid is {_type_in_words(value)}, not an object"
            )
        return {}
    name = "pricing.cost_per_image_grid"
    return {
        # A quality with one price for every tier.
        str(quality): _prices(tiers, f"{name}.{quality}", problems)
        if isinstance(tiers, Mapping)
        else {"default": _price(tiers, f"{name}.{quality}", problems)}
        for quality, tiers in value.items()
    }


def _prices(value: object, name: str, problems: list[str]) -> dict[str, Decimal | None]:
    if not isinstance(value, Mapping):
        if value is not None:
            problems.append(f"{name} is {_type_in_words(value)}, not an object")
        return {}
    return {str(key): _price(price, f"{name}.{key}", problems) for key, price in value.items()}


def _price(value: object, name: str, problems: list[str]) -> Decimal | None:
    price = read_money(value)
    if price is not None and price <= _MOST_PRICE:
        return price
    if value is not None:
        problems.append(f"{name} is {_type_in_words(value)}, not a price")
    return None


def _read_capabilities(row: Row, problems: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    capabilities = row.get("capabilities")
    if capabilities is not None and not isinstance(capabilities, Mapping):
        problems.append(f"capabilities is {_type_in_words(capabilities)}, not an object")
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
        problems.append(f"{name} is {_type_in_words(value)}, not a list")
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
        problems.append(f"deployments is {_type_in_words(value)}, not a list")
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
    problems.append(f"{name} is {_type_in_words(value)}, not an object")
    return None


def _read_developer(row: Row, problems: list[str]) -> str | None:
    value = row.get("developer")
    if isinstance(value, Mapping):
        return _text_in(value, "name", problems)
    if value is None:
        return _text_in(row, "developer_name", problems)
    return _text_in(row, "developer", problems)


def _text_in(row: Row, name: str, problems: list[str]) -> str | None:
    """Return a field's text, trimmed; None where it is missing, empty or something else."""
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    problems.append(f"{name} is {_type_in_words(value)}, not a string")
    return None


def _number_in(row: Row, name: str, problems: list[str]) -> float | None:
    """Return a field's number, also where it is written as a string."""
    value = row.get(name)
    if value is None:
        return None
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    problems.append(f"{name} is {_type_in_words(value)}, not a number")
    return None


def _type_in_words(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(
        type(value), "a number" if isinstance(value, int | float) else "something else"
    )
