"""A paid request before it is paid for: checked for free, priced, and written as data to send."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from oxen_inference.catalog.models import Model, made_media
from oxen_inference.catalog.parameters import (
    Parameters,
    check_arguments,
    parameters,
    validate,
)
from oxen_inference.catalog.pricing import Quote
from oxen_inference.effects import invoke, run, run_together, within
from oxen_inference.errors import (
    APITimeoutError,
    BudgetExceededError,
    ConfigurationError,
    InvalidInputError,
    OxenError,
)
from oxen_inference.ledger.accounts import Reservation
from oxen_inference.ledger.budgets import Budget, read_amount
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.names import LONGEST_NAME, is_too_long, shortened
from oxen_inference.ledger.store import Ledger
from oxen_inference.media.engine import Engine
from oxen_inference.media.fingerprints import (
    caller_parameters,
    fingerprint,
    is_same_value,
    storable,
)
from oxen_inference.media.input_kinds import check_kinds
from oxen_inference.media.inputs import (
    check_faces,
    may_change,
    read_inputs,
    stable_form,
    with_earlier_results,
    with_urls,
)
from oxen_inference.media.option_names import refuse_keywords
from oxen_inference.media.quotes import quote_call
from oxen_inference.media.routes import Route, first_route, is_missing
from oxen_inference.money import usd
from oxen_inference.price_caps import read_price_caps

_SHORTEST_TIMEOUT = 0.1  # seconds
_LOOK_UP_AGAIN = 10.0  # seconds that a look at a model's present price may take


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRequest:
    """What the caller wants, unchecked."""

    model: str | Model
    params: Mapping[str, Any]
    keywords: tuple[str, ...] = ()
    """Names of parameters that were given beside the options, and may be one of another call."""
    key: str | None = None
    conversation: str | None = None
    max_cost: Any = None
    budget: Budget | None = None
    allow_unknown_cost: bool = False
    direct: bool = False
    allow_paths: bool = False
    inline_inputs: bool = False
    price_caps: Mapping[str, Any] | None = None
    key_is_derived: bool = False
    """Whether a tool worked the key out, so that nobody counts on it."""
    key_is_new: bool = False
    """Whether the ledger was asked for the key, in vain: it is looked for as it is begun only."""

    def caps(self) -> dict[str, Decimal]:
        """Return the price caps of the budget and the call. Raises `InvalidInputError`."""
        own = {} if self.budget is None else self.budget.price_caps
        return {**own, **read_price_caps(self.price_caps)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request that may be sent as it is."""

    body: Mapping[str, Any]
    intent: Intent
    quote: Quote
    unit_cost: Decimal | None
    budget: Budget | None
    model: Model
    params: Mapping[str, Any]
    """The model's parameters, checked."""
    route: Route = "queue"
    key_is_derived: bool = False

    @property
    def is_direct(self) -> bool:
        return self.intent.kind == "direct"

    def on_route(self, route: Route) -> PreparedRequest:
        """Return the same request for a synchronous route. Raises `InvalidInputError`."""
        count, media_type = self.intent.count, self.intent.media_type
        body = _direct_body(self.model, self.params, count, media_type, route)
        intent = replace(self.intent, kind="direct", request=storable(body))
        return replace(self, route=route, body=body, intent=intent)

    def reservation(self, ledger: Ledger) -> Reservation | None:
        """Return the money to reserve in `ledger`. Raises `ConfigurationError`."""
        if self.budget is None:
            return None
        return self.budget.reservation(ledger, self.unit_cost or Decimal(0), self.intent.count)


def merge_parameters(
    prompt: Any, params: Mapping[str, Any] | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge the ways to give a parameter. Raises `InvalidInputError` for one given twice."""
    merged = {**(params or {}), **more}
    twice = sorted(set(params or {}) & set(more))
    if prompt is not None:
        twice += ["prompt"] if merged.get("prompt") not in (None, prompt) else []
        merged["prompt"] = prompt
    if twice:
        raise InvalidInputError(f"{', '.join(twice)} was given twice.")
    return merged


def hub_of(base_url: str) -> str:
    """Return the address of the hub that a base URL is part of."""
    return re.sub(r"/api(/ai)?/?$", "", base_url)


def scope_of(base_url: str, api_key: object) -> Scope:
    """Return whose jobs these are. Keys that a function returns count as one account."""
    hub = hub_of(base_url)
    secret = api_key if isinstance(api_key, str) else ""
    return Scope(hub, hashlib.sha256(f"oxen-ledger:{hub}:{secret}".encode()).hexdigest()[:20])


async def find_known(engine: Engine, request: MediaRequest, scope: Scope) -> Entry | None:
    """Return the entry that a request's key stands for, if that is plain without its model.

    So a paid result can be had again when the catalog cannot be read, or its prices and
    parameters changed since. None decides nothing: the request has to be prepared and begun.
    """
    if not isinstance(request.key, str) or request.direct:
        return None
    entry = await run_together(engine.groups.find, (scope, request.key))
    if entry is None or entry.may_be_claimed:
        return None
    model = request.model.id if isinstance(request.model, Model) else request.model
    params = stable_form(await read_given(request))
    return entry if _is_request_of(entry, model, params) else None


def _is_request_of(entry: Entry, model: str, params: Mapping[str, Any]) -> bool:
    given = caller_parameters(model, params)
    if fingerprint(given) in (entry.caller_fingerprint, entry.fingerprint):
        return True
    # The same parameters passed in another way were sent like this.
    sent = {name: value for name, value in entry.request.items() if value is not None}
    return is_same_value(storable(given), sent)


async def prepare(
    engine: Engine, request: MediaRequest, scope: Scope, left: float | None = None
) -> PreparedRequest:
    """Check everything that can be checked for free, and return what to send.

    `left`: seconds that the catalog may take. Raises `InvalidInputError`, `ConfigurationError`,
    `BudgetExceededError`, `ModelNotFoundError`, `APITimeoutError`.
    """
    model = await find_model(engine, request.model, left)
    refuse_keywords(request.keywords, model, "params={...}")
    media_type = _media_type(model)
    _check_direct(request)
    if request.key is not None:
        _check_key(request, engine.ledger)
    read = await read_given(request)
    given = with_earlier_results(read, model.request_schema)
    inline = engine.source() if request.inline_inputs else None
    sent = await with_urls(given, engine.paths, scope.hub, inline, model.request_schema)
    check_faces(sent)
    check_kinds(sent, model.request_schema)
    # A parameter of the queue, whatever the model's schema says of that name.
    count = read_count(model, sent.pop("num_generations", None))
    if "num_generations" in parameters(model).required:
        sent["num_generations"] = count
    checked = validate(model, sent)
    checked.pop("num_generations", None)
    price = await quote_call(engine, model, checked, 1, request.caps())
    unit_cost = _check_cost(model, price, count, request)
    body = {"model": model.id, **checked, "num_generations": count}
    route: Route = "queue"
    if request.direct or _is_refused_by_queue(request, model.id, scope.hub):
        route = first_route(model, media_type, checked, scope.hub)
    if request.direct:
        body = _direct_body(model, checked, count, media_type, route)
    changing = {name for name, each in given.items() if may_change(each, scope.hub)}
    earlier = {name: stable_form(given[name]) for name in changing}
    stable_body = {**body, **{name: value for name, value in earlier.items() if name in body}}
    conversation = None if request.conversation is None else shortened(str(request.conversation))
    intent = Intent(
        scope=scope,
        key=request.key,
        conversation=conversation,
        fingerprint=fingerprint(stable_body),
        # Of what can be read without the model, as `find_known` does.
        caller_fingerprint=fingerprint(caller_parameters(model.id, stable_form(read))),
        kind="direct" if request.direct else "queue",
        model=model.id,
        media_type=media_type,
        request=storable(body),
        defaults=_defaults(model, checked),
        count=count,
        quoted=price.high,
    )
    prepared = PreparedRequest(
        body=body,
        intent=intent,
        quote=price.times(count),
        unit_cost=unit_cost,
        budget=request.budget,
        model=model,
        params=checked,
        route=route,
        key_is_derived=request.key_is_derived,
    )
    return prepared if request.direct or route == "queue" else prepared.on_route(route)


async def read_given(request: MediaRequest) -> dict[str, Any]:
    """Return a request's parameters as `read_inputs` does."""
    if request.allow_paths:
        return await run(read_inputs, request.params, True)
    return read_inputs(request.params, False)  # touches no file


async def find_model(engine: Engine, model: str | Model, left: float | None = None) -> Model:
    """Return a model as the catalog has it now, in `left` seconds. Raises `APITimeoutError`.

    One that came from a hub is looked up again, since its price may have changed; it is used as it
    is where that fails, and so is one that was made by hand.
    """
    if isinstance(model, Model):
        if model.fetched_at is None:
            return model
        try:
            seconds = _LOOK_UP_AGAIN if left is None else min(max(left, 0.0), _LOOK_UP_AGAIN)
            return await within(seconds, _get_model(engine, model.id))
        except (OxenError, TimeoutError):
            return model
    if left is None:
        return await _get_model(engine, model)
    left = max(left, _SHORTEST_TIMEOUT)
    try:
        return await within(left, _get_model(engine, model))
    except TimeoutError:
        raise APITimeoutError(
            f"The catalog did not answer in the {left:.3g} s that were left of the timeout. "
            "Nothing was sent."
        ) from None


async def _get_model(engine: Engine, model: str) -> Model:
    found: Model = await invoke(engine.catalog.get, model)
    return found


def _media_type(model: Model) -> str:
    if (media_type := made_media(model)) is not None:
        return media_type
    makes = " and ".join(model.outputs) or "nothing that the catalog names"
    raise InvalidInputError(
        f"{model.id} makes {makes}, not images, video or audio.",
        hint="client.catalog.list(output='image') lists those that do; so does output='video'.",
    )


def read_count(model: Model, given: Any) -> int:
    """Return how many generations are asked for, 1 for None. Raises `InvalidInputError`."""
    any_parameters = Parameters({}, open=True)
    try:
        checked = check_arguments(any_parameters, {"num_generations": given})
    except ValueError as error:
        raise InvalidInputError(f"{model.id} cannot be called like this: {error}.") from None
    return int(checked.get("num_generations", 1))


def _is_refused_by_queue(request: MediaRequest, model_id: str, hub: str) -> bool:
    """Whether the queue refused the model a while ago, so that it need not be asked again."""
    has_callers_key = request.key is not None and not request.key_is_derived
    return not has_callers_key and is_missing(hub, f"queue of {model_id}")


def _check_direct(request: MediaRequest) -> None:
    for name in ("key", "conversation"):
        if request.direct and getattr(request, name) is not None:
            raise ConfigurationError(
                f"A direct generation takes no {name}: the synchronous endpoints give no id by which "
                "it could be found again.",
                hint=f"Leave out direct=True, or the {name}.",
            )


def _check_key(request: MediaRequest, ledger: Ledger) -> None:
    if request.key is None:
        return
    if not isinstance(request.key, str) or not request.key.strip():
        raise InvalidInputError("key must be a text that is not empty, or be left out.")
    if is_too_long(request.key):
        raise InvalidInputError(
            f"key must have at most {LONGEST_NAME:,} bytes, and has {len(request.key):,} characters."
        )
    if not ledger.durable:
        raise ConfigurationError(
            "A key needs a ledger that outlives the process.",
            hint="Leave out ledger=None, or pass ledger=Ledger(path) with a path that can be written.",
        )


def _check_cost(model: Model, quote: Quote, count: int, request: MediaRequest) -> Decimal | None:
    """Return the most that one generation may cost, if known and allowed."""
    limit = None if request.max_cost is None else read_amount(request.max_cost, "max_cost")
    if quote.high is None:
        if request.allow_unknown_cost or (limit is None and request.budget is None):
            return limit / count if limit is not None else None
        raise BudgetExceededError(
            f"The cost of {model.id} is not known in advance ({quote.reason}), so it cannot be "
            "kept within a limit. Nothing was sent.",
            hint="Say the most that one may cost, price_caps={...}, or pass allow_unknown_cost=True "
            "to send it all the same.",
        )
    total = quote.high * count
    if limit is not None and total > limit:
        raise BudgetExceededError(
            f"This may cost {usd(total)}, and the limit is {usd(limit)}. Nothing was sent.",
            hint="Raise max_cost, or choose cheaper settings.",
        )
    return quote.high


def _direct_body(
    model: Model, checked: Mapping[str, Any], count: int, media_type: str, route: Route
) -> dict[str, Any]:
    if count > 1 and media_type != "image":
        raise InvalidInputError(
            f"The synchronous endpoint makes one {media_type} a call, not {count}."
        )
    if route == "audio_speech":
        # What it says is `input`, as of OpenAI's route of that name, whose response_format is the
        # file's.
        return {"model": model.id, **checked, "input": checked.get("prompt")}
    several = {"n": count} if count > 1 else {}
    return {"model": model.id, "response_format": "b64_json", **checked, **several}


def _defaults(model: Model, checked: Mapping[str, Any]) -> dict[str, Any]:
    known = parameters(model)
    return {name: known.default(name) for name in known.fields if name not in checked}
