"""The commands about models: `models`, `find` and `quote`. None of them pays."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.output import print_json, print_line, show_control
from oxen_inference.cli.usage import read_pair
from oxen_inference.money import read_money

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import OxenClient

_WORTH_SAYING = 60.0  # seconds
_FILTERS = ("developer", "provider", "action", "input", "output", "method")


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the commands to a parser."""
    models = add("models", _models, "list the models")
    for name in _FILTERS:
        models.add_argument(f"--{name}")
    models.add_argument("--deployed", action=argparse.BooleanOptionalAction, default=None)
    models.add_argument("--search", metavar="WORDS")
    models.set_defaults(for_words="did you mean --search {}?")

    find = add("find", _find, "find models by what they must do")
    find.add_argument("words", nargs="*", help="rank by how many of them a description has")
    find.add_argument("--output", help="what it must make: text, image, video or audio")
    find.add_argument("--input", help="what it must take")
    find.add_argument("--seconds", type=float, help="how long the result must be")
    find.add_argument("--with-audio", action="store_true", help="only videos with audio")
    find.add_argument("--max-price", type=read_usd, metavar="USD", help="for one call")
    find.add_argument("--cheapest", action="store_true", help="the cheapest first")
    find.add_argument("--limit", type=int, default=5)

    quote = add("quote", _quote, "what a call would cost; free")
    quote.add_argument("model")
    add_params(quote, read_pair)
    quote.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="the same, as in generate"
    )
    quote.add_argument("-n", "--num-generations", type=int, metavar="N")


def add_params(parser: argparse.ArgumentParser, read: Callable[[str], str]) -> None:
    """Let a command take the model's parameters, also after its options."""
    parser.add_argument(
        "params", nargs="*", type=read, metavar="name=value", help="a parameter, as in duration=10"
    )
    parser.set_defaults(read_param=read)


def read_usd(text: str) -> Decimal:
    """Read an option's amount. Raises `argparse.ArgumentTypeError`."""
    amount = read_money(text)
    if amount is None:
        raise argparse.ArgumentTypeError(f"not an amount of USD: {text!r}")
    return amount


def _models(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    filters = {name: getattr(options, name) for name in (*_FILTERS, "deployed")}
    if options.search is not None:
        if any(value is not None for value in filters.values()):
            raise ValueError("give --search or filters, not both")
        models = client.catalog.search(options.search)
    else:
        models = client.catalog.list(**filters)
    if models.reason:
        print(f"no models: {show_control(models.reason)}", file=sys.stderr)
    if options.json:
        print_json([_model_as_json(model) for model in models])
    elif models:
        out.print(models)


def _find(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.catalog.search import find_models, numbered_lines

    matches = find_models(
        client.catalog.list(),
        " ".join(options.words),
        output=options.output,
        input=options.input,
        seconds=options.seconds,
        with_audio=options.with_audio,
        max_price=options.max_price,
        cheapest=options.cheapest,
        limit=options.limit,
    )
    if options.json:
        print_json([match.as_row() for match in matches])
    else:
        print_line(out, numbered_lines(matches))


def _quote(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.catalog.parameters import parameters, validate

    model = client.catalog.get(options.model)
    params = validate(model, read_params(model, [*options.set, *options.params]), partial=True)
    if options.num_generations is not None and "num_generations" in params:
        raise ValueError("num_generations was given twice: by -n, and as a parameter")
    number = params.pop("num_generations", options.num_generations or 1)
    count = validate(model, {"num_generations": number}, partial=True)
    price = client.media.quote(model, params={**params, **count})
    known = parameters(model)
    assumed = {name: known.default(name) for name in known.fields if name not in params}
    assumed = {name: value for name, value in assumed.items() if value not in (None, "")}
    if options.json:
        print_json(_quote_as_json(model, {**params, **count}, price) | {"assumed": assumed})
        return
    reason = f" ({price.reason})" if price.known and price.reason else ""
    print_line(out, f"{model.id}: {price}{reason}")
    if price.catalog_age is not None and price.catalog_age > _WORTH_SAYING:
        print_line(out, f"by a catalog that is {price.catalog_age / 60:.0f} minutes old")
    if assumed:
        shown = {n: v if isinstance(v, str) else json.dumps(v) for n, v in assumed.items()}
        defaults = " ".join(f"{name}={value}" for name, value in shown.items())
        print_line(out, f"assumed, by default: {defaults}")


def read_params(model: Model, pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs for a model. Raises `ValueError`."""
    from oxen_inference.catalog.parameters import parameters
    from oxen_inference.catalog.schema import types_of

    fields = parameters(model).fields
    params: dict[str, Any] = {}
    for pair in pairs:
        name, is_pair, value = pair.partition("=")
        if not is_pair or not name:
            raise ValueError(f"{pair!r} is not name=value")
        text_only = types_of(fields.get(name, {})) == {"string"}
        params[name] = value if text_only else _json_or_text(value)
    return params


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _model_as_json(model: Model) -> dict[str, Any]:
    from oxen_inference.catalog.documents import metadata

    return {
        "id": model.id,
        **metadata(model),
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "pricing": model.raw.get("pricing"),
        "request_schema": model.request_schema,
    }


def _quote_as_json(model: Model, params: dict[str, Any], price: Quote) -> dict[str, Any]:
    return {
        "model": model.id,
        "params": params,
        "low": None if price.low is None else f"{price.low:f}",
        "high": None if price.high is None else f"{price.high:f}",
        "exact": price.exact,
        "reason": price.reason,
        "catalog_age": None if price.catalog_age is None else round(price.catalog_age, 1),
    }
