"""The models: what there is, what it costs, what it takes.

`facade` is `client.catalog`, and runs the logic of `base`: fetch once for everyone (`cache`), read
whatever a hub sends (`reading`) into `models`, activate custom ones (`deployments`). `parameters` checks a call by
the model's JSON Schema (`schema`), `media_inputs` tells which of them take files, `tool_args` makes
a tool's arguments of them. `pricing` quotes:
`effective` has a call's parameters, `parameter_roles` what each does to the price,
`pricing_quantities` how many results and seconds there are, `pricing_tiers` which price applies,
`prose_prices` what only texts say of it, `prose_facts` which of that is documented.
`search` and `filters` find models, `documents` describes them, `profiles` tells what they can do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxen_inference.catalog.cache import clear_cache
    from oxen_inference.catalog.models import CatalogWarning, Deployment, Model, Pricing
    from oxen_inference.catalog.parameters import validate
    from oxen_inference.catalog.pricing import Quote, price_hint, quote
    from oxen_inference.catalog.profiles import profile_for
    from oxen_inference.catalog.search import find_models
    from oxen_inference.catalog.tool_args import arguments_model

__all__ = [
    "CatalogWarning",
    "Deployment",
    "Model",
    "Pricing",
    "Quote",
    "arguments_model",
    "clear_cache",
    "find_models",
    "price_hint",
    "profile_for",
    "quote",
    "validate",
]

_HOME = {
    "CatalogWarning": "models",
    "Deployment": "models",
    "Model": "models",
    "Pricing": "models",
    "Quote": "pricing",
    "arguments_model": "tool_args",
    "clear_cache": "cache",
    "find_models": "search",
    "price_hint": "pricing",
    "profile_for": "profiles",
    "quote": "pricing",
    "validate": "parameters",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"oxen_inference.catalog.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
