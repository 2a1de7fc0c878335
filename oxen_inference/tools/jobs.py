"""What the tools to submit, check and cancel generations, and to find models, take and say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from oxen_inference.tools import text
from oxen_inference.tools.settings import MEDIA

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.result import MediaResult

_LONGEST_WAIT = 600  # seconds; a model that wants more can ask again

SUBMIT = (
    "Starts generating an image or a video with a model on Oxen and returns generation ids at "
    "once, without waiting. It is paid for when it is started. Use oxen_check to get the result."
)
CHECK = (
    "Tells whether generations that were started with oxen_submit, or are still rendering, are "
    "ready, and where their results are. Can wait for them."
)
CANCEL = (
    "Cancels generations that are not ready yet. One that has finished stays as it is. Whether a "
    "cancelled one is billed is not known."
)
FIND = (
    "Finds models on Oxen that make images, videos or audio, for a need described in words. "
    "Returns a short ranked list with ids, prices and parameters. Costs nothing."
)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def _not_given() -> None:
    """Default of what may be left out."""


class SubmitArguments(_Arguments):
    model: str = Field(description="Id of the model.")
    prompt: str | None = Field(default=None, description="What to make, in words.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of the model, by name."
    )
    # A default would overrule what `parameters` says; a factory writes none into the schema.
    num_generations: int | None = Field(
        default_factory=_not_given, ge=1, le=4,
        description="How many, 1 if left out; each is paid for.",
    )  # fmt: skip


class CheckArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")
    wait_seconds: float = Field(
        default=0, ge=0, le=_LONGEST_WAIT, description="How long to wait if it is not ready."
    )


class CancelArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")


_Modality = Literal["text", "image", "video", "audio"]


class FindModelsInput(BaseModel):
    """What the model is needed for."""

    need: str = Field(
        description="What is needed, in words, e.g. 'cheapest model that turns an image into a "
        "ten-second film with sound'."
    )
    output: _Modality | None = Field(default=None, description="What it must make.")
    input: _Modality | None = Field(default=None, description="What it must take.")
    max_price: float | None = Field(default=None, ge=0, description="Most USD for one call.")
    limit: int = Field(default=5, ge=1, le=20, description="How many to name at most.")


def own_arguments(submission: Mapping[str, Any]) -> dict[str, Any]:
    """Return a submission's arguments as those of the model's own tool.

    Raises `InvalidInputError` for one that was given twice, not alike.
    """
    from oxen_inference.errors import InvalidInputError

    arguments = dict(submission.get("parameters") or {})
    for name in ("prompt", "num_generations"):
        own = submission.get(name)
        if own is None:
            continue
        if arguments.get(name, own) != own:
            raise InvalidInputError(
                f"{name} was given twice: {own!r}, and {arguments[name]!r} in parameters. Give it "
                "once."
            )
        arguments[name] = own
    return arguments


def refuse_stranger(model_id: str, allowed: Iterable[str]) -> None:
    """Raise `InvalidInputError` for a model that is none of the `allowed` ones."""
    from oxen_inference.catalog.did_you_mean import did_you_mean, suggestion
    from oxen_inference.errors import InvalidInputError

    allowed = list(allowed)
    if model_id not in allowed:
        near = suggestion(did_you_mean(model_id, allowed))
        raise InvalidInputError(
            f"{model_id!r} may not be used here. {near} Allowed are: {', '.join(allowed)}."
        )


def submitted(result: MediaResult) -> str:
    """Say what was started."""
    if result.is_terminal:  # the same call, replayed
        return text.describe_job(result)
    ids = ", ".join(result.generation_ids)
    return f"Started: {result.media_type} by {result.model}. Generation ids: {ids}."


def found(
    models: Iterable[Model], arguments: Mapping[str, Any], *, media_only: bool = True
) -> tuple[str, list[dict[str, Any]]]:
    """Return the models for a need, in words and as rows of plain data."""
    from oxen_inference.catalog.find_models import describe, find_models

    models = list(models)
    media = [model for model in models if any(model.makes(kind) for kind in MEDIA)]
    matches = find_models(media if media_only else models, **arguments)
    parameters = [text.describe_parameters(m.model) for m in matches if m.model in media]
    return "\n".join([describe(matches), *parameters]), [match.as_row() for match in matches]
