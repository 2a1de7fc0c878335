"""`python -m oxen_inference`: the catalog, quotes and the ledger of paid jobs, in a terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.jobs import add_commands as add_job_commands

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import OxenClient

_FILTERS = ("developer", "provider", "action", "input", "output", "method")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 1 with what went wrong on stderr."""
    options = _parser().parse_args(argv)
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.errors import MissingAPIKeyError, OxenError
    from oxen_inference.settings import KEYS_PAGE

    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    command: Callable[[OxenClient, argparse.Namespace, Console], int | None] = options.command
    status: int | None = 0
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: errors.print(f"warning: {message}")
        try:
            with OxenClient(base_url=options.base_url) as client:
                # A pipe has no width to fit into, and ids must come through whole.
                out = Console(width=None if sys.stdout.isatty() else 200)
                status = command(client, options, out)
        except MissingAPIKeyError:
            errors.print(
                "error: No Oxen API key. Set the environment variable OXEN_API_KEY, or log in with "
                f"Oxen's own command line; your key is at {KEYS_PAGE}."
            )
            return 1
        except (OxenError, ValueError) as error:
            errors.print(f"error: {error}")
            return 1
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            # `… | head` closed the pipe: nothing more to say, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m oxen_inference",
        description="Oxen.ai's models, their prices, and what was paid for. "
        "The key is OXEN_API_KEY, or the one Oxen's own command line saved.",
    )
    parser.add_argument("--base-url", help="the API's base URL (or OXEN_BASE_URL)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    models = _add(commands, "models", _models, "list the models")
    for name in _FILTERS:
        models.add_argument(f"--{name}")
    models.add_argument("--deployed", action=argparse.BooleanOptionalAction, default=None)
    models.add_argument("--search", metavar="WORDS")

    find = _add(commands, "find", _find, "find models for a need in words")
    find.add_argument("need", nargs="+", help="e.g. cheapest ten-second film with sound")
    find.add_argument("--max-price", metavar="USD")
    find.add_argument("--limit", type=int, default=5)

    quote = _add(commands, "quote", _quote, "what a call would cost; free")
    quote.add_argument("model")
    quote.add_argument("params", nargs="*", metavar="name=value", help="e.g. duration=10")
    quote.add_argument("--num-generations", type=int, default=1, metavar="N")

    add_job_commands(lambda name, command, text: _add(commands, name, command, text))
    return parser


def _add(commands: Any, name: str, command: Callable[..., int | None], text: str) -> Any:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(command=command)
    return parser


def _models(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    filters = {name: getattr(options, name) for name in (*_FILTERS, "deployed")}
    if options.search is not None:
        if any(value is not None for value in filters.values()):
            raise ValueError("give --search or filters, not both")
        models = client.catalog.search(options.search)
    else:
        models = client.catalog.list(**filters)
    if models.reason:
        print(f"no models: {models.reason}", file=sys.stderr)
    if options.json:
        _print_json([_as_json(model) for model in models])
    elif models:
        out.print(models)


def _find(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.catalog.find_models import describe, find_models

    matches = find_models(
        client.catalog.list(),
        " ".join(options.need),
        max_price=options.max_price,
        limit=options.limit,
    )
    if options.json:
        _print_json([match.as_row() for match in matches])
    else:
        out.print(describe(matches), markup=False, highlight=False)


def _quote(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.catalog.pricing import quote
    from oxen_inference.catalog.request_schema import parameters, validate

    model = client.catalog.get(options.model)
    params = validate(model, _read_params(model, options.params), partial=True)
    count = validate(model, {"num_generations": options.num_generations}, partial=True)
    price = quote(model, {**params, **count})
    known = parameters(model)
    assumed = {name: known.default(name) for name in known.fields if name not in params}
    assumed = {name: value for name, value in assumed.items() if value not in (None, "")}
    if options.json:
        _print_json(_quote_as_json(model, {**params, **count}, price) | {"assumed": assumed})
        return
    why = f" ({price.reason})" if price.known and price.reason else ""
    out.print(f"{model.id}: {price}{why}", markup=False, highlight=False)
    if assumed:
        spelled = {n: v if isinstance(v, str) else json.dumps(v) for n, v in assumed.items()}
        by_default = " ".join(f"{name}={value}" for name, value in spelled.items())
        out.print(f"assumed, by default: {by_default}", markup=False, highlight=False)


def _read_params(model: Model, pairs: Iterable[str]) -> dict[str, Any]:
    from oxen_inference.catalog.json_schema import types_of
    from oxen_inference.catalog.request_schema import parameters

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
    except ValueError:
        return value


def _as_json(model: Model) -> dict[str, Any]:
    from oxen_inference.catalog.model_text import metadata

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
    }


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


if __name__ == "__main__":
    sys.exit(main())
