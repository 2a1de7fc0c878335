"""A model's own parameters: which there are, what they may be, what a call leaves open.

Some parameters belong to every request whatever the model's schema says; a null counts as left
out unless the schema gives null a meaning of its own. A model without a readable schema accepts
everything: only the hub can judge then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.did_you_mean import did_you_mean, suggestion
from oxen_inference.catalog.json_fit import Misfit, fit
from oxen_inference.catalog.json_schema import (
    Schema,
    allows_null,
    is_json,
    merged,
    number_of,
    required_of,
    resolve,
    schemas_in,
    shown,
)
from oxen_inference.catalog.local_files import PATH_HINT, local_file

if TYPE_CHECKING:
    from oxen_inference.catalog.arguments import Arguments
    from oxen_inference.catalog.models import Model

COMMON: Mapping[str, Schema] = {
    "num_generations": {
        "type": "integer",
        "minimum": 1,
        "maximum": 4,
        "default": 1,
        "description": "How many results to make; each is paid for.",
    },
    "response_format": {"type": "string", "enum": ["url", "b64_json"], "default": "url"},
    "target_namespace": {"type": "string", "description": "Who is billed and keeps the results."},
    "target_repo": {"type": "string", "description": "The repository that keeps the results."},
    "target_directory": {"type": "string", "description": "The folder that keeps the results."},
}
"""Parameters of every request (https://docs.oxen.ai/inference-api), whatever the model."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters a model documents, in the order people should meet them."""

    fields: Mapping[str, Schema]
    required: frozenset[str] = frozenset()
    open: bool = False
    """Whether names that are not documented are accepted too."""
    root: Schema = field(default_factory=dict)
    """The whole document, which `$ref` points into."""
    together: Schema = field(default_factory=dict)
    """What the document demands of the parameters together, beyond each alone."""
    note: str | None = None
    """Why nothing is known about the parameters, where that is so."""

    def is_hidden(self, name: str) -> bool:
        """Whether the hub asks not to show it."""
        return self.fields[name].get("x-hidden") is True

    def default(self, name: str) -> Any:
        """The documented default, or None."""
        return self.fields[name].get("default")

    def must_be_given(self, name: str) -> bool:
        """Whether a call without it is refused; an empty text is no default for a prompt."""
        return name in self.required and self.default(name) in (None, "")

    def sends_null(self, name: str) -> bool:
        """Whether null says something that leaving it out does not, and so is sent."""
        is_said = self.default(name) is not None or name in self.required
        return is_said and allows_null(self.fields[name], self.root)


def parameters(model: Model) -> Parameters:
    """Return what `model.request_schema` documents, however it is put together."""
    root = model.request_schema
    if not root:
        return Parameters({}, open=True, note=f"{model.id} documents no parameters")
    asked: dict[str, list[object]] = {}
    offered: dict[str, list[object]] = {}
    required: set[str] = set()
    for part, always in _parts(root, root):
        properties = part.get("properties")
        for name, spec in properties.items() if isinstance(properties, Mapping) else ():
            (asked if always else offered).setdefault(str(name), []).append(spec)
        if always:
            required |= set(required_of(part))
    fields = {
        name: _joined("allOf", asked[name], root)
        if name in asked
        else _joined("anyOf", offered[name], root)
        for name in (*asked, *(name for name in offered if name not in asked))
    }
    if not fields:
        note = f"{model.id} documents its parameters in a way this version cannot read"
        return Parameters({}, open=True, note=note)
    others = root.get("additionalProperties")
    return Parameters(
        fields={name: fields[name] for name in _in_order(fields, root.get("basic"))},
        required=frozenset(required & fields.keys()),
        open=others is True or isinstance(others, Mapping),
        root=root,
        together={rule: root[rule] for rule in ("anyOf", "oneOf", "not") if root.get(rule)},
    )


def validate(model: Model, params: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Return `params` in the form the model's schema asks for.

    Numbers and texts that mean a listed value become it, tuples become lists, nulls go. `partial`
    leaves out what concerns parameters not given. Raises `InvalidInputError` naming every
    parameter that does not fit, what is allowed, and the closest name of an unknown one.
    """
    known = parameters(model)
    files = {n: local_file(v, known.fields.get(n), known.root) for n, v in params.items()}
    files = {name: file for name, file in files.items() if file is not None}
    sendable = {name: value for name, value in params.items() if name not in files}
    fitted, problems = _checked(known, sendable, partial=partial or bool(files))
    problems += [f"{name} must be a URL, not {file}" for name, file in files.items()]
    if fitted.get("model", model.id) != model.id and "model" not in known.fields:
        problems.append(f"model is {model.id}, not {shown(fitted['model'])}")
    if problems:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"{model.id} cannot be called like this: {'; '.join(problems)}.",
            hint=PATH_HINT if files else None,
        )
    return fitted


def check_arguments(known: Parameters, params: Mapping[str, Any]) -> dict[str, Any]:
    """Do what `validate` does, for parameters in hand. Raises `ValueError`."""
    fitted, problems = _checked(known, params, partial=False)
    if "model" in fitted and "model" not in known.fields:
        problems.append("model is not one of its parameters")
    if problems:
        raise ValueError("; ".join(problems))
    return fitted


def arguments_model(
    model: Model, *, pinned: Iterable[str] = (), common: Iterable[str] = ("num_generations",)
) -> type[Arguments]:
    """Return the pydantic class of the arguments an agent may give; see `arguments`."""
    from oxen_inference.catalog.arguments import arguments_model as build

    return build(model, pinned=pinned, common=common)


def _checked(
    known: Parameters, params: Mapping[str, Any], *, partial: bool
) -> tuple[dict[str, Any], list[str]]:
    fitted: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in params.items():
        rules = known.fields.get(name, COMMON.get(name))
        if rules is None:
            if not (known.open or name == "model"):
                near = suggestion(did_you_mean(name, [*known.fields, *COMMON]))
                hint = f" ({near[0].lower()}{near[1:]})" if near else ""
                problems.append(f"{name} is not one of its parameters{hint}")
            if value is not None:
                fitted[name] = value
            continue
        if value is None and not (name in known.fields and known.sends_null(name)):
            continue
        try:
            fitted[name] = fit(value, rules, known.root)
        except Misfit as misfit:
            problems.append(f"{name}{misfit.path} {misfit.rule}{_got(value, misfit.path)}")
    if not partial:
        problems += _missing(known, fitted, params)
    if not problems and not partial:
        problems += _alternatives(known, fitted)
    return fitted, problems


def _got(value: Any, path: str) -> str:
    return "" if path else f", not {shown(value)}"


def _missing(
    known: Parameters, fitted: Mapping[str, Any], params: Mapping[str, Any]
) -> Iterator[str]:
    prompt, shots = fitted.get("prompt"), fitted.get("multi_prompt")
    either = {"prompt", "multi_prompt"} <= known.fields.keys()
    if either:
        if prompt and shots:
            yield "cannot provide both prompt and multi_prompt"
        elif not (prompt or shots or known.default("multi_prompt")):
            yield "either prompt or multi_prompt must be provided"
    for name in known.fields:
        if name not in known.required or (either and name == "prompt"):
            continue
        if name not in fitted and known.must_be_given(name):
            if params.get(name) is None:
                yield f"{name} is missing"
        elif name == "prompt" and isinstance(prompt, str) and not prompt.strip():
            yield "prompt cannot be empty"


def _alternatives(known: Parameters, fitted: Mapping[str, Any]) -> list[str]:
    if not known.together:
        return []
    said = {n: s["default"] for n, s in known.fields.items() if "default" in s}
    defaults = {name: value for name, value in said.items() if is_json(value)}
    whole = {**defaults, **fitted}
    try:
        fit(whole, known.together, known.root)
    except Misfit as misfit:
        return [f"{misfit.path.lstrip('.') or 'the combination'} {misfit.rule}"]
    return []


def _parts(
    schema: Any, root: Schema, inside: tuple[object, ...] = ()
) -> Iterator[tuple[Schema, bool]]:
    """The schemas whose properties a document has, and whether what they require always is."""
    rules = resolve(schema, root)
    yield rules, True
    for name in ("allOf", "anyOf", "oneOf", "then", "else"):
        branches = rules[name] if isinstance(rules.get(name), list) else [rules.get(name)]
        for branch in schemas_in(branches):
            if any(branch is one for one in inside):
                continue  # a circle
            for part, always in _parts(branch, root, (*inside, branch)):
                yield part, always and name == "allOf"


def _joined(rule: str, specs: list[object], root: Schema) -> Schema:
    """What several parts of a document say of one parameter."""
    distinct = [spec for i, spec in enumerate(specs) if spec not in specs[:i]]
    return merged(distinct[0] if len(distinct) == 1 else {rule: distinct}, root)


def _in_order(fields: Mapping[str, Schema], basic: object) -> list[str]:
    listed = basic if isinstance(basic, list) else []
    shown_first = {name for name in listed if isinstance(name, str)}

    def rank(name: str) -> tuple[bool, Any]:
        order = number_of(fields[name].get("x-order"))
        return (name not in shown_first, order if order is not None else float("inf"))

    return sorted(fields, key=rank)
