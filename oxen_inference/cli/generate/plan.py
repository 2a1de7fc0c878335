"""What the command `generate` is to make: every line checked and priced before anything is sent."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate.bought import Bought, Earlier
from oxen_inference.cli.models import read_params

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import OxenClient

ALREADY_MADE = "already made, nothing is bought"
_ABOVE = "above --max-cost"
_MOST_SHOWN = 20
_FORM = (
    'each line is JSON: an object, or a text in quotes such as "an ox"; a file of plain prompts has '
    "a name that ends in .txt"
)
_OWN_FIELDS = frozenset({"model", "prompt", "params", "num_generations", "key"})


class _LineError(ValueError):
    """What is wrong with one line."""


class _FormError(_LineError):
    """A line that is neither an object nor a text."""


class BadLinesError(ValueError):
    """Lines that cannot be sent; the text names all of them."""


class Plan:
    """The requests, checked line by line and priced; read again for each use."""

    def __init__(self, client: OxenClient, options: argparse.Namespace, bought: Bought) -> None:
        if bool(options.prompt) == bool(options.source):
            raise BadLinesError("give --prompt or --from, one of them")
        from oxen_inference.errors import NotFoundError
        from oxen_inference.media.file_names import check_template

        if options.name is not None:
            check_template(options.name)

        self._options = options
        self._client = client
        self._models: dict[str, Model] = {}
        self._stdin = list(sys.stdin) if options.source == "-" else None
        self.count = 0
        self.low, self.high = Decimal(0), Decimal(0)
        self.unknown: Counter[str] = Counter()
        self.by_model: Counter[str] = Counter()
        self.earlier: Counter[Earlier] = Counter()
        """What became of the requests, where they were made before."""
        self.too_dear: list[Decimal] = []
        """What each request may cost that may cost more than --max-cost."""
        self._priced = 0
        digest = hashlib.sha256()
        problems: list[str] = []
        bad, has_other_forms = 0, False
        for number, given in self._lines():
            try:
                request = self._request(given)
                self._price(request, bought)
            except (ValueError, NotFoundError) as error:
                bad += 1
                has_other_forms |= isinstance(error, _FormError)
                if len(problems) < _MOST_SHOWN:
                    problems.append(f"line {number}: {error}" if options.source else str(error))
                continue
            self.count += 1
            digest.update(json.dumps(request, sort_keys=True, default=str).encode())
        if bad > len(problems):
            problems.append(f"and {bad - len(problems)} more lines")
        if has_other_forms:
            problems.append(_FORM)
        if problems:
            raise BadLinesError(
                "; ".join(problems)
                if bad == 1
                else "\n  ".join(("these lines cannot be sent:", *problems))
            )
        if not self.count:
            raise BadLinesError("there is nothing to make: no line has a request")
        self.digest = digest.hexdigest()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, given in self._lines():
            yield self._request(given)

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        price = self._price_of_new()
        if not self.earlier:
            return f"{self.models}: {price or _ABOVE}"
        if self.earlier["made"] == self.count:
            return f"{self.models}: {ALREADY_MADE}"
        before = f"{self.earlier['made']:,} of {self.count:,} already made"
        words: dict[Earlier, str] = {"sent": "already sent", "failed": "failed before"}
        for state, word in words.items():
            before += f", {self.earlier[state]:,} {word}" if self.earlier[state] else ""
        rest = f"{price} for the rest" if price else f"the rest is {_ABOVE}"
        return f"{self.models}: {before}; {'nothing is bought' if self.is_bought else rest}"

    def _price_of_new(self) -> str:
        """Say what the requests cost that are not bought yet; empty where all of it is above --max-cost."""
        from oxen_inference.money import usd

        parts = []
        if self._priced:
            low, high = usd(self.low), usd(self.high)
            parts.append(high if low == high else f"{low} to {high}")
        if unknown := sum(self.unknown.values()):
            parts.append(f"{unknown:,} of unknown price ({next(iter(self.unknown))})")
        return ", and ".join(parts)

    @property
    def is_bought(self) -> bool:
        """Whether all of it was bought before."""
        return sum(self.earlier.values()) == self.count

    @property
    def models(self) -> str:
        """How many results each model is to make."""
        return ", ".join(f"{count:,} × {model}" for model, count in self.by_model.most_common())

    @property
    def noun(self) -> str:
        """What the results are called: image, video, or result where they are of several kinds."""
        from oxen_inference.tools.media_config import media_type_of

        kinds = {media_type_of(model) for model in self._models.values()}
        (kind,) = kinds if len(kinds) == 1 else ("result",)
        return "result" if kind == "audio" else kind

    def _lines(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and the content of each line: a mapping, a text, or what is wrong."""
        if not self._options.source:
            yield from enumerate(self._options.prompt, start=1)
            return
        if self._stdin is not None:
            yield from _parsed(self._stdin)
            return
        try:
            source = Path(self._options.source).expanduser()
            with source.open(encoding="utf-8-sig") as file:
                yield from _prompts(file) if source.suffix == ".txt" else _parsed(file)
        except (OSError, UnicodeDecodeError) as error:
            raise BadLinesError(f"{self._options.source} cannot be read: {error}") from error

    def _request(self, given: Any) -> dict[str, Any]:
        if isinstance(given, ValueError):
            raise given
        row = {"prompt": given} if isinstance(given, str) else given
        if not isinstance(row, Mapping):
            raise _FormError(f"it is {json.dumps(row)[:60]}")
        name = row.get("model") or self._options.model
        if not isinstance(name, str):
            raise _LineError("it names no model, and the command names none")
        model = self._model(name)
        inner = row.get("params") or {}
        if not isinstance(inner, Mapping):
            raise _LineError("params must be an object")
        params = {**read_params(model, self._options.set), **inner}
        params |= {k: v for k, v in row.items() if k not in _OWN_FIELDS}
        _check_key(row.get("key"))
        request: dict[str, Any] = {"model": name, **({"params": params} if params else {})}
        request |= {k: row[k] for k in ("prompt", "key") if row.get(k) is not None}
        count = row.get("num_generations", self._options.num_generations)
        if count is not None:
            request["num_generations"] = count
        return request

    def _price(self, request: Mapping[str, Any], bought: Bought) -> None:
        from oxen_inference.catalog.parameters import validate
        from oxen_inference.tools.media_config import media_type_of

        model = self._model(request["model"])
        media_type_of(model)
        params = {k: v for k, v in request.items() if k in ("prompt", "num_generations")}
        sent = {**request.get("params", {}), **params}
        count = sent.pop("num_generations", 1)
        validate(model, sent)
        # The number is the queue's own parameter, whatever the schema says of that name.
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 4:
            raise ValueError(f"num_generations must be 1 to 4, not {count!r}")
        quote = self._client.media.quote(model, num_generations=count, params=sent)
        earlier = bought.find(request)
        self.by_model[model.id] += count
        if earlier != "new":
            self.earlier[earlier] += 1
            return
        most = self._options.max_cost
        if most is not None and quote.high is not None and quote.high > most:
            self.too_dear.append(quote.high)
            return
        if quote.low is None or quote.high is None:
            self.unknown[quote.reason or "no reason given"] += 1
            return
        self._priced += 1
        self.low += quote.low
        self.high += quote.high

    def _model(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = self._client.catalog.get(name)
        return self._models[name]


def _check_key(key: object) -> None:
    from oxen_inference.ledger.names import LONGEST_NAME, is_too_long

    if key is None:
        return
    if not isinstance(key, str) or not key.strip():
        raise _LineError("key must be a text that is not empty, or be left out")
    if is_too_long(key):
        raise _LineError(f"key must have at most {LONGEST_NAME:,} bytes")


def _parsed(lines: Any) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, _FormError(f"it is no JSON ({error})")


def _prompts(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if prompt := line.strip():
            yield number, prompt
