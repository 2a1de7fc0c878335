"""A paid request before it is paid for: what was asked, checked for free, as data to send."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oxen_inference.catalog import pricing, request_schema
from oxen_inference.catalog.models import Model
from oxen_inference.errors import BudgetExceededError, ConfigurationError, InvalidInputError
from oxen_inference.ledger.budgets import Budget, read_amount
from oxen_inference.ledger.store import Intent, Ledger, Scope
from oxen_inference.media.inputs import is_media, lasting, names_earlier, resolved, understood
from oxen_inference.media.steps import GetModel, Steps, run
from oxen_inference.money import usd
from oxen_inference.paths import Paths

_STORED_TEXT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the caller wants, unchecked."""

    model: str | Model
    params: Mapping[str, Any]
    key: str | None = None
    conversation: str | None = None
    max_cost: Any = None
    budget: Budget | None = None
    allow_unknown_cost: bool = False
    direct: bool = False
    allow_paths: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request that may be sent as it is."""

    model: Model
    body: Mapping[str, Any]
    intent: Intent
    quote: pricing.Quote
    is_direct: bool = False
    notes: tuple[str, ...] = field(default=())


def merge(prompt: Any, params: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Put the ways of giving a parameter together. Raises `InvalidInputError` for one given twice."""
    merged = {**(params or {}), **more}
    twice = sorted(set(params or {}) & set(more))
    if prompt is not None:
        twice += ["prompt"] if merged.get("prompt") not in (None, prompt) else []
        merged["prompt"] = prompt
    if twice:
        raise InvalidInputError(f"{', '.join(twice)} was given twice.")
    return merged


def prepare(asked: Asked, ledger: Ledger, scope: Scope, paths: Paths) -> Steps[Order]:
    """Check everything that can be checked for free, and return what to send.

    Raises `InvalidInputError`, `ConfigurationError`, `BudgetExceededError`, `ModelNotFoundError`.
    """
    model = asked.model if isinstance(asked.model, Model) else (yield GetModel(asked.model))
    media_type = _media_type(model)
    is_direct = asked.direct or media_type == "audio"
    yield from run(_check_key, asked, is_direct, ledger)
    given = yield from run(understood, asked.params, asked.allow_paths)
    sent = yield from resolved(given, paths, scope.hub)
    # The hub's, whatever the model's schema says of a parameter by that name.
    count = _count(model, sent.pop("num_generations", None))
    if "num_generations" in request_schema.parameters(model).required:
        sent["num_generations"] = count
    checked = request_schema.validate(model, sent)
    checked.pop("num_generations", None)
    quote = pricing.quote(model, checked, 1)
    unit = _affordable(model, quote, count, asked)
    body = {"model": model.id, **checked, "num_generations": count}
    if is_direct:
        body = _direct_body(model, checked, count, media_type)
    earlier = {name: lasting(one) for name, one in given.items() if names_earlier(one)}
    stable = {**body, **{name: value for name, value in earlier.items() if name in body}}
    intent = Intent(
        scope=scope,
        key=asked.key,
        conversation=None if is_direct else asked.conversation,
        fingerprint=fingerprint(stable),
        asked=fingerprint(told_apart(model.id, lasting(given))),
        kind="direct" if is_direct else "queue",
        model=model.id,
        media_type=media_type,
        request=storable(body),
        defaults=_defaults(model, checked),
        count=count,
        unit_cost=unit,
        budget=asked.budget,
    )
    total = pricing.quote(model, checked, count)
    return Order(model=model, body=body, intent=intent, quote=total, is_direct=is_direct)


def scope_of(base_url: str, api_key: object) -> Scope:
    """Return whose jobs these are. Keys from a callable cannot be told apart from each other."""
    hub = re.sub(r"/api(/ai)?/?$", "", base_url)
    secret = api_key if isinstance(api_key, str) else ""
    return Scope(hub, hashlib.sha256(f"oxen-ledger:{hub}:{secret}".encode()).hexdigest()[:20])


def storable(value: Any) -> Any:
    """Return a value for the ledger: long data URLs as digests, everything else as it is."""
    if isinstance(value, Mapping):
        return {name: storable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [storable(one) for one in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > _STORED_TEXT:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def _media_type(model: Model) -> str:
    kinds = ("image", "video", "audio")
    if model.kind in kinds:
        return str(model.kind)
    for kind in kinds:
        if model.makes(kind):
            return kind
    makes = " and ".join(model.outputs) or "nothing that the catalog names"
    raise InvalidInputError(
        f"{model.id} makes {makes}, not images, video or audio. "
        "Find a model with client.catalog.list(output='image') or output='video'."
    )


def _count(model: Model, given: Any) -> int:
    open_to_all = request_schema.Parameters({}, open=True)
    try:
        checked = request_schema.check_arguments(open_to_all, {"num_generations": given})
    except ValueError as error:
        raise InvalidInputError(f"{model.id} cannot be called like this: {error}.") from None
    return int(checked.get("num_generations", 1))


def _check_key(asked: Asked, is_direct: bool, ledger: Ledger) -> None:
    if asked.key is None:
        return
    if not isinstance(asked.key, str) or not asked.key.strip():
        raise InvalidInputError("key must be a text that is not empty, or be left out.")
    if is_direct:
        raise ConfigurationError(
            "A direct generation takes no key: the synchronous endpoints give no id by which it "
            "could be found again. Leave out direct=True, or the key. (Audio is always direct.)"
        )
    if not ledger.durable:
        raise ConfigurationError(
            "A key needs a ledger that outlives the process: leave ledger=None out, or pass "
            "ledger=Ledger(path) with a path that can be written."
        )


def _affordable(model: Model, quote: pricing.Quote, count: int, asked: Asked) -> Decimal | None:
    """Return the most that one generation may cost, if known and allowed."""
    limit = None if asked.max_cost is None else read_amount(asked.max_cost, "max_cost")
    if quote.high is None:
        if asked.allow_unknown_cost or (limit is None and asked.budget is None):
            return limit / count if limit is not None else None
        raise BudgetExceededError(
            f"The cost of {model.id} is not known before ({quote.reason}), so it cannot be kept "
            "within a limit. Nothing was sent. allow_unknown_cost=True lets it run all the same."
        )
    total = quote.high * count
    if limit is not None and total > limit:
        raise BudgetExceededError(
            f"This may cost {usd(total)}, more than max_cost={usd(limit)}. Nothing was sent."
        )
    if asked.budget is not None and asked.key is None and asked.conversation is None:
        asked.budget.check(total)  # with either it may be paid for already
    return quote.high


def _direct_body(
    model: Model, checked: Mapping[str, Any], count: int, media_type: str
) -> dict[str, Any]:
    if count > 1 and media_type != "image":
        raise InvalidInputError(
            f"The synchronous endpoint makes one {media_type} a call, not {count}."
        )
    several = {"n": count} if count > 1 else {}
    return {"model": model.id, "response_format": "b64_json", **checked, **several}


def _defaults(model: Model, checked: Mapping[str, Any]) -> dict[str, Any]:
    known = request_schema.parameters(model)
    return {name: known.default(name) for name in known.fields if name not in checked}


def told_apart(model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a request from others, as the caller passed it."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"model": model, "num_generations": 1, **given}


def fingerprint(body: Mapping[str, Any]) -> str:
    """Return the same text for what means the same request."""
    canonical = json.dumps(_canonical(storable(body)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_listener(on_progress: Callable[..., Any] | None) -> None:
    if on_progress is not None and not callable(on_progress):
        raise InvalidInputError("on_progress must be a function that takes one event.")


def is_edit(model: Model, body: Mapping[str, Any]) -> bool:
    """Whether a synchronous request is one to edit images.

    Models that can edit name that endpoint, and make images from words alone all the same.
    """
    if not (model.endpoint or "").endswith("/images/edit"):
        return False
    return any(is_media(name) for name, value in body.items() if isinstance(value, str | list))
