"""The settings of a media tool, checked early, and what a call of it asks `client.media` for."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from oxen_inference.settings import check_timeout, results_folder
from oxen_inference.tools import inputs

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.entries import Entry
    from oxen_inference.result import MediaItem

ROLES = ("generate_image", "edit_image", "generate_video", "generate_audio")
_SETTINGS_OF_LISTS = (
    "timeout",
    "on_interrupt",
    "save_to",
    "allow_unknown_cost",
    "price_caps",
    "inline_inputs",
)
"""What a list's option replaces; of two `max_cost` the run takes the lower."""
_LIMITS = ("max_cost", "timeout", "on_interrupt", "save_to")
_MAX_NAME_LENGTH = 64  # of a function, in OpenAI's and Anthropic's APIs


@dataclass(frozen=True, kw_only=True)
class MediaToolConfig:
    """A model and how it may be used; the fields are those of the adapters' media tools."""

    model: Model = field(repr=False)
    save_to: str | Path | None = field(default=None, repr=False)  # a URL may hold a password
    max_cost: Any = None
    budget: Budget | None = None
    allow_unknown_cost: bool = False
    timeout: float | None = None
    on_interrupt: Literal["detach", "cancel"] = "detach"
    inputs_from: str | Path | None = None
    price_caps: Mapping[str, Any] | None = None
    inline_inputs: bool = False

    def quote(self, client: OxenClient, params: Mapping[str, Any]) -> Quote:
        """Return what a call with these parameters will cost, by everything that is known."""
        return client.media.quote_unchecked(self.model, params, self._caps)

    async def aquote(self, client: AsyncOxenClient, params: Mapping[str, Any]) -> Quote:
        return await client.media.quote_unchecked(self.model, params, self._caps)

    @property
    def _caps(self) -> Mapping[str, Any]:
        return {**(self.budget.price_caps if self.budget else {}), **(self.price_caps or {})}

    def mark_inputs(self, arguments: Mapping[str, Any], schema: Any) -> dict[str, Any]:
        """Return arguments as they come from a model, in a form that `schema` can validate."""
        names = getattr(schema, "oxen_wire_names", {})
        return inputs.mark_references(arguments, self.model.request_schema, names)

    def request_kwargs(
        self,
        client: OxenClient,
        params: Mapping[str, Any],
        *,
        key: str | None,
        conversation: str | None,
    ) -> dict[str, Any]:
        """Return what `client.media.generate`, `submit` and `find` take; inputs are resolved."""
        if names := inputs.find_references(params):
            jobs = client.media.jobs() if _any_path(names) else []
            params = inputs.replace_references(params, self._resolve(names, jobs))
        durable = client.media.ledger.durable
        return self._request_kwargs(params, key, conversation, durable=durable)

    async def arequest_kwargs(
        self,
        client: AsyncOxenClient,
        params: Mapping[str, Any],
        *,
        key: str | None,
        conversation: str | None,
    ) -> dict[str, Any]:
        """Do what `request_kwargs` does, without blocking the running loop."""
        if names := inputs.find_references(params):
            jobs = await client.media.jobs() if _any_path(names) else []
            values = await asyncio.to_thread(self._resolve, names, jobs)
            params = inputs.replace_references(params, values)
        durable = await asyncio.to_thread(lambda: client.media.ledger.durable)
        return self._request_kwargs(params, key, conversation, durable=durable)

    def wait_kwargs(self) -> dict[str, Any]:
        """Return what `client.media.generate` takes beyond that: how to wait and where to save."""
        return {
            "timeout": self.timeout,
            "on_interrupt": self.on_interrupt,
            "save_to": self.save_to or self._audio_folder,
        }

    def _request_kwargs(
        self, params: Mapping[str, Any], key: str | None, conversation: str | None, *, durable: bool
    ) -> dict[str, Any]:
        inputs.check_sendable(params, self.model.request_schema)
        # Without a ledger that outlives the process, a key would promise too much.
        return {
            "model": self.model,
            "params": params,
            "key": key if durable else None,
            "key_is_derived": True,
            "conversation": conversation,
            "max_cost": self.max_cost,
            "budget": self.budget,
            "allow_unknown_cost": self.allow_unknown_cost,
            "allow_paths": self.inputs_from is not None,
            "price_caps": self.price_caps,
            "inline_inputs": self.inline_inputs,
        }

    @property
    def _audio_folder(self) -> Path | None:
        """Where audio is saved if `save_to` is not set: from a synchronous route its bytes come once."""
        is_audio = media_type_of(self.model) == "audio"
        return results_folder("audio") if is_audio else None

    def _resolve(self, names: list[str], jobs: list[Entry]) -> dict[str, Path | MediaItem]:
        """Return the allowed file or the earlier result that each name stands for."""
        from oxen_inference.result import MediaItem

        saved = {str(item.path): item for job in jobs for item in job.items if item.path}
        return {
            name: inputs.allowed_file(name, self.inputs_from)
            or saved.get(name)
            or MediaItem(generation_id=inputs.check_id(name, self.inputs_from))
            for name in names
        }


def media_type_of(model: Model) -> str:
    """Return what media a model makes. Raises `InvalidInputError` if it makes none."""
    from oxen_inference.catalog.models import made_media

    media_type = made_media(model)
    if media_type is None:
        from oxen_inference.errors import InvalidInputError

        makes = " and ".join(model.outputs) or "nothing that the catalog names"
        hint = "Use ChatOxen or, in LlamaIndex, Oxen for it." if model.is_chat else None
        raise InvalidInputError(f"{model.id} makes {makes}, not images, video or audio.", hint=hint)
    return media_type


def roles_of(model: Model) -> tuple[str, ...]:
    """Return which of `ROLES` a model can fill. Raises `InvalidInputError` if it makes no media."""
    from oxen_inference.catalog.parameters import parameters

    media_type = media_type_of(model)
    if media_type != "image" or not model.takes("image"):
        return (f"generate_{media_type}",)
    if inputs.required_media(model.request_schema):
        return ("edit_image",)
    if model.request_schema and not image_inputs(model) and not parameters(model).open:
        return ("generate_image",)
    return ("generate_image", "edit_image")


def image_inputs(model: Model) -> tuple[str, ...]:
    """Return the names of the parameters that take an image to change; a mask is none."""
    return inputs.image_inputs(model.request_schema)


def check_role(model: Model, role: str) -> None:
    """Raise `InvalidInputError` for a model that does not do what `role` says."""
    kind = role.partition("_")[2]
    fills = role in roles_of(model) if role == "edit_image" else media_type_of(model) == kind
    if not fills:
        from oxen_inference.errors import InvalidInputError

        what = "does not change images" if role == "edit_image" else f"does not make {_many(kind)}"
        raise InvalidInputError(
            f"{model.id} {what}. It fills the role of {' and '.join(roles_of(model))}."
        )


def _many(media_type: str) -> str:
    return media_type if media_type == "audio" else f"{media_type}s"


def tool_name(model: Model, role: str | None = None) -> str:
    """Return the name of a model's tool, in letters that every API takes."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", model.id).strip("_")
    name = f"{role or f'generate_{media_type_of(model)}'}_with_{words}"
    if len(name) <= _MAX_NAME_LENGTH and words and model.id.isascii():
        return name
    # What is left of the id may be the same for another model.
    suffix = hashlib.sha256(model.id.encode(errors="replace")).hexdigest()[:6]
    return f"{name[: _MAX_NAME_LENGTH - len(suffix) - 1].rstrip('_')}_{suffix}"


def check_limits(
    *,
    max_cost: Any = None,
    timeout: Any = None,
    on_interrupt: Any = "detach",
    save_to: Any = None,
    inputs_from: Any = None,
) -> None:
    """Raise `InvalidInputError` for a limit of the wrong kind, or a folder that is not writable.

    Raises `ConfigurationError` for a folder of inputs that does not exist.
    """
    from oxen_inference.errors import InvalidInputError
    from oxen_inference.ledger.budgets import read_amount

    if max_cost is not None:
        read_amount(max_cost, "max_cost")
    check_timeout(timeout)
    if on_interrupt not in ("detach", "cancel"):
        raise InvalidInputError(f'on_interrupt must be "detach" or "cancel", not {on_interrupt!r}.')
    if save_to is not None:
        from oxen_inference.media.results.files import folder_to_save_in
        from oxen_inference.media.results.remote import as_path, as_url

        if as_url(save_to) is None:  # a folder elsewhere is tried before anything is paid for
            folder_to_save_in(as_path(save_to))
    if inputs_from is not None:
        inputs.check_folder(inputs_from)


def for_list(
    settings: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tool's settings as a list with `options` has them, and what is left for its run.

    Raises `ConfigurationError` for a second budget, and `InvalidInputError`.
    """
    from oxen_inference.ledger.budgets import as_budget

    check_limits(**{name: options[name] for name in _LIMITS if name in options})
    own = settings["budget"]
    if own is not None and (budget := as_budget(options.get("budget"))) is not None:
        check_single_budget("The tool", own, budget)
    given = {name: options[name] for name in _SETTINGS_OF_LISTS if name in options}
    left = {name: value for name, value in options.items() if name not in given}
    # An amount is one budget for the whole list, which the run makes.
    return {**settings, **given}, {**left, "budget": own or options.get("budget")}


def refuse_to_pickle_password(save_to: Any) -> None:
    """Raise `TypeError` for a folder's URL with a secret in it, which a pickle would hold."""
    from oxen_inference.media.results.remote import as_url, shown_url

    url = as_url(save_to)
    if url is not None and shown_url(url) != url:
        raise TypeError(
            f"save_to {shown_url(url)} has a password in its URL, and pickles hold no secrets. Leave "
            "it out of the URL: fsspec reads it from its configuration files or the environment."
        )


def check_single_budget(name: str, own: Budget | None, other: Budget) -> None:
    """Raise `ConfigurationError` if a tool that has a budget is to be paid from another one."""
    if own is None or own.is_same(other):
        return
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"{name} already has a budget, {own!r}, and cannot also be paid from {other!r}.",
        hint="Pass the tool's budget to OxenToolkit or OxenBudgetMiddleware, or make the tool "
        "without one.",
    )


def check_unique_names(names: Sequence[str], remedy: str) -> None:
    """Raise `ConfigurationError` if two tools have one name: an agent would run either."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(f"Two tools are called {', '.join(repeated)}: {remedy}")


def _any_path(names: list[str]) -> bool:
    return any(mark in name for name in names for mark in "./\\")
