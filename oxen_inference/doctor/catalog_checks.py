"""What can be seen of a hub without a key: its catalog."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.models import METHODS, CatalogWarning, Model
from oxen_inference.catalog.prose_prices import price_rules
from oxen_inference.catalog.reading import read_models
from oxen_inference.catalog.schema import properties_of, required_of, unread_keywords
from oxen_inference.doctor.findings import Finding, Report, some
from oxen_inference.errors import APIStatusError, MissingAPIKeyError, OxenError

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient

_EXTENSIONS = frozenset(
    ["x-order", "x-hidden", "x-media-references", "x-bounding-boxes", "x-next-to",
     "x-workbench-default", "x-image-to-image-endpoint"]
)  # fmt: skip
_STATUSES = frozenset({"active", "inactive", "deploying", "deactivating", "error", "unknown"})
_ENDPOINTS = frozenset(
    ["/chat/completions", "/images/generate", "/videos/generate", "/audio/generate",
     "/audio/speech", "/audio/transcriptions", "/images/edit"]
)  # fmt: skip
_EDIT = "/images/edit"


def check_catalog(client: OxenClient, report: Report) -> None:
    """Read the list of models as it is sent, without the key."""
    payload = _fetch(client, report)
    if payload is None:
        return
    if not (isinstance(payload, Mapping) and isinstance(payload.get("data"), list)):
        report.deviations.append(
            Finding(
                "shape of the list of models",
                'an object whose "data" is a list',
                type(payload).__name__,
                "Other shapes are read as far as they are known; models may be missing.",
            )
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = read_models(payload)
    report.facts["models"] = len(models)
    unreadable = [str(w.message) for w in caught if issubclass(w.category, CatalogWarning)]
    if _only_currencies(payload, models):
        unreadable = []  # which is a finding of its own
    report.deviations += [
        Finding(
            "entries of the catalog",
            "entries whose fields have the documented types",
            each,
            "What cannot be read is left out: such a model may have no price or no schema.",
        )
        for each in unreadable
    ]
    report.known += _known(models)
    report.deviations += _deviations(models)


def _only_currencies(payload: Any, models: list[Model]) -> bool:
    """Whether nothing of a list could not be read but prices in another currency."""
    rows = payload.get("data") if isinstance(payload, Mapping) else payload
    is_whole = isinstance(rows, list) and len(rows) == len(models)
    problems = [
        each
        for model in models
        for each in model.problems
        if model.pricing is None or model.pricing.currency == "USD" or "prices are in" not in each
    ]
    return is_whole and not problems


def _fetch(client: OxenClient, report: Report) -> Any:
    from openai import Omit

    path, headers = client.paths.models, {"Authorization": Omit()}
    try:
        return client.get(path, cast_to=object, options={"headers": headers})
    except (MissingAPIKeyError, APIStatusError) as error:
        if getattr(error, "status_code", 401) not in (401, 403):
            report.unreachable.append(f"catalog: {error}")
            return None
        report.deviations.append(
            Finding(
                "catalog without a key",
                f"GET {path} is answered without a key",
                f"it is refused: {error.message}",
                "Models can be listed and quoted only with a key.",
            )
        )
    except OxenError as error:
        report.unreachable.append(f"catalog: {error}")
        return None
    if not client.has_key:
        return None
    try:
        return client.get(path, cast_to=object)
    except OxenError as error:
        report.unreachable.append(f"catalog: {error}")
        return None


def _known(models: list[Model]) -> Iterator[Finding]:
    contradicting = [m.id for m in models if _needs_image(m) and m.endpoint == "/images/generate"]
    if contradicting:
        yield Finding(
            "endpoint and inputs",
            f"models that edit images name {_EDIT}, as the documentation does",
            f"/images/generate: {some(contradicting)}",
            "The route is chosen by the inputs of a call, not by this field.",
        )
    in_prose = [m.id for m in models if m.pricing is not None and price_rules(m)]
    if in_prose:
        yield Finding(
            "prices in prose",
            "every price has a field",
            f"only words say it of {some(in_prose)}",
            "Quotes of such calls are a range, or unknown: see price_caps.",
        )
    in_credits = [m.id for m in models if m.pricing and m.pricing.method == "per_provider_credit"]
    if in_credits:
        yield Finding(
            "prices in credits",
            "prices in dollars",
            f"a provider's credits: {some(in_credits)}",
            "Their price is unknown, so a budget refuses them without price_caps.",
        )


def _deviations(models: list[Model]) -> Iterator[Finding]:
    methods, currencies, keywords, statuses, endpoints, edits = (
        defaultdict[str, list[str]](list) for _ in range(6)
    )
    for model in models:
        pricing = model.pricing
        if pricing is not None and pricing.method and pricing.method not in METHODS:
            methods[pricing.method].append(model.id)
        if pricing is not None and pricing.currency != "USD":
            currencies[pricing.currency].append(model.id)
        for keyword in _unknown_keywords(model):
            keywords[keyword].append(model.id)
        for deployment in model.deployments:
            if deployment.status not in _STATUSES:
                statuses[deployment.status].append(model.id)
        if model.endpoint and model.endpoint not in _ENDPOINTS:
            endpoints[model.endpoint].append(model.id)
        if model.endpoint == _EDIT:
            edits[_EDIT].append(model.id)
    tables = (
        ("pricing method", METHODS, methods, "The price of such a model is unknown."),
        ("currency", ["USD"], currencies, "Its prices are not read as dollars: unknown."),
        (
            "schema keyword",
            sorted(_EXTENSIONS),
            keywords,
            "It restricts nothing here; at a parameter that decides the price, it is unknown.",
        ),
        ("deployment status", _STATUSES, statuses, "Waiting for such a deployment may not end."),
        ("endpoint", _ENDPOINTS, endpoints, "What such a model makes may not be known."),
        (
            "endpoint of an edit",
            ["/images/generate"],
            edits,
            "The documented form rather than the live one; calls go by their inputs all the same.",
        ),
    )
    for check, expected, found, means in tables:
        for value, ids in found.items():
            yield Finding(check, "one of " + ", ".join(expected), f"{value}: {some(ids)}", means)


def _unknown_keywords(model: Model) -> Iterator[str]:
    root = model.request_schema
    if not root:
        return
    yield from unread_keywords(root, is_root=True)
    yield from (str(n) for n in root if str(n).startswith("x-") and n not in _EXTENSIONS)
    for spec in properties_of(root).values():
        yield from unread_keywords(spec)
        if isinstance(spec, Mapping):
            yield from (str(n) for n in spec if str(n).startswith("x-") and n not in _EXTENSIONS)


def _needs_image(model: Model) -> bool:
    return any("image" in name for name in required_of(model.request_schema or {}))
