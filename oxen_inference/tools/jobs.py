"""The tools around a generation: submit it, check it, cancel it, and find a model for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from oxen_inference.generation import MEDIA_TYPES
from oxen_inference.tools import text
from oxen_inference.tools.calls import is_for_developers

if TYPE_CHECKING:
    from typing import TypeAlias

    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.result import MediaResult

    Job: TypeAlias = "MediaResult | UnknownJob"

_MAX_WAIT = 600  # seconds; a model that wants more can ask again
_SHORTEST_WAIT = 0.1  # seconds that are worth to begin a wait

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
    "canceled one is billed is not known."
)
FIND = (
    "Finds models on Oxen that make images, videos or audio, by what they must make, take, last "
    "and cost. Returns a short ranked list with ids, prices and parameters. Costs nothing."
)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def _none() -> None:
    """Return the default of an argument whose schema should name none."""


class SubmitArguments(_Arguments):
    model: str = Field(description="Id of the model.")
    prompt: str | None = Field(default=None, description="What to make, in words.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of the model, by name."
    )
    # A default in the schema would overrule what `parameters` says; a factory writes none there.
    num_generations: int | None = Field(
        default_factory=_none, ge=1, le=4,
        description="How many, 1 if left out; each is paid for.",
    )  # fmt: skip


class CheckArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")
    wait_seconds: float = Field(
        default=0,
        ge=0,
        le=_MAX_WAIT,
        description="How long to wait for those that are not ready, all together.",
    )


class CancelArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")


_Modality = Literal["text", "image", "video", "audio"]


class FindModelsInput(_Arguments):
    """What the model must do. Everything may be left out."""

    output: _Modality | None = Field(default=None, description="What it must make.")
    input: _Modality | None = Field(default=None, description="What it must take.")
    seconds: float | None = Field(default=None, gt=0, description="How long the result must be.")
    with_audio: bool = Field(default=False, description="Whether a video must have audio.")
    max_price: float | None = Field(default=None, ge=0, description="Most USD for one call.")
    cheapest: bool = Field(default=False, description="Whether the cheapest come first.")
    words: str = Field(
        default="", description="Words to rank by: those that a good model's description has."
    )
    limit: int = Field(default=5, ge=1, le=20, description="How many to name at most.")


# Submitting


def model_arguments(submission: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's own tool that a submission means.

    Raises `InvalidInputError` for an argument that is given twice, with different values.
    """
    from oxen_inference.errors import InvalidInputError

    arguments = dict(submission.get("parameters") or {})
    for name in ("prompt", "num_generations"):
        value = submission.get(name)
        if value is None:
            continue
        if arguments.get(name, value) != value:
            raise InvalidInputError(
                f"{name} was given twice: {value!r}, and {arguments[name]!r} in parameters. Give it "
                "once."
            )
        arguments[name] = value
    return arguments


def check_allowed(model_id: str, allowed: Iterable[str]) -> None:
    """Raise `InvalidInputError` for a model that is not among `allowed`."""
    from oxen_inference.catalog.suggestions import did_you_mean, suggestion
    from oxen_inference.errors import InvalidInputError

    allowed = list(allowed)
    if model_id not in allowed:
        near = suggestion(did_you_mean(model_id, allowed))
        raise InvalidInputError(
            f"{model_id!r} may not be used here. {near} Allowed are: {', '.join(allowed)}."
        )


def describe_submitted(result: MediaResult) -> str:
    """Say what was started."""
    if result.is_terminal:  # the same call, replayed
        return text.describe_job(result)
    ids = ", ".join(result.generation_ids)
    return f"Started: {result.media_type} by {result.model}. Generation ids: {ids}."


# Checking and canceling


@dataclass(frozen=True, slots=True)
class UnknownJob:
    """A generation whose state could not be read, and why, in words."""

    generation_id: str
    error: str

    def __str__(self) -> str:
        return f"{self.generation_id}: {self.error}"


def check(
    client: OxenClient,
    generation_ids: Sequence[str],
    *,
    wait: float,
    timeout: float | None,
    save_to: Any,
    on_progress: Callable[[Any], Any] | None,
) -> list[Job]:
    """Return the state of generations, waiting up to `wait` seconds for all of them together.

    `timeout`: seconds that fetching one that had ended may take. Raises `InvalidInputError` if
    none is known.
    """
    from oxen_inference.errors import OxenError

    deadline = time.monotonic() + wait

    def check_one(generation_id: str) -> Job:
        try:
            handle = client.media.attach(generation_ids=[generation_id])
            left = deadline - time.monotonic()
            if left < _SHORTEST_WAIT:
                if not (snapshot := handle.status()).is_terminal:
                    return snapshot
                return handle.wait(timeout, save_to=save_to, on_progress=on_progress)
            return handle.wait(left, save_to=save_to, on_progress=on_progress)
        except OxenError as error:
            return _from_error(generation_id, error)

    return _require_any([check_one(each) for each in dict.fromkeys(generation_ids)])


async def acheck(
    client: AsyncOxenClient,
    generation_ids: Sequence[str],
    *,
    wait: float,
    timeout: float | None,
    save_to: Any,
    on_progress: Callable[[Any], Any] | None,
) -> list[Job]:
    """Do what `check` does, waiting for all of them at once."""
    from oxen_inference.errors import OxenError

    deadline = time.monotonic() + wait

    async def check_one(generation_id: str) -> Job:
        try:
            handle = await client.media.attach(generation_ids=[generation_id])
            left = deadline - time.monotonic()
            if left < _SHORTEST_WAIT:
                if not (snapshot := await handle.status()).is_terminal:
                    return snapshot
                return await handle.wait(timeout, save_to=save_to, on_progress=on_progress)
            return await handle.wait(left, save_to=save_to, on_progress=on_progress)
        except OxenError as error:
            return _from_error(generation_id, error)

    return _require_any(list(await asyncio.gather(*map(check_one, dict.fromkeys(generation_ids)))))


def cancel(client: OxenClient, generation_ids: Sequence[str]) -> list[Job]:
    """Cancel generations and return their state. Raises `InvalidInputError` if none is known."""
    from oxen_inference.errors import OxenError

    def cancel_one(generation_id: str) -> Job:
        try:
            return client.media.attach(generation_ids=[generation_id]).cancel()
        except OxenError as error:
            return _from_error(generation_id, error)

    return _require_any([cancel_one(each) for each in dict.fromkeys(generation_ids)])


async def acancel(client: AsyncOxenClient, generation_ids: Sequence[str]) -> list[Job]:
    """Do what `cancel` does, without blocking the running loop."""
    from oxen_inference.errors import OxenError

    async def cancel_one(generation_id: str) -> Job:
        try:
            handle = await client.media.attach(generation_ids=[generation_id])
            return await handle.cancel()
        except OxenError as error:
            return _from_error(generation_id, error)

    return _require_any([await cancel_one(each) for each in dict.fromkeys(generation_ids)])


def describe_jobs(jobs: Iterable[Job]) -> str:
    """Say how far several jobs are, a line or more for each."""
    return "\n".join(
        str(job) if isinstance(job, UnknownJob) else text.describe_job(job) for job in jobs
    )


def jobs_as_data(jobs: Iterable[Job]) -> dict[str, Any]:
    """Return several jobs as plain data."""
    rows = [asdict(job) if isinstance(job, UnknownJob) else text.references(job) for job in jobs]
    return {"results": rows}


def _from_error(generation_id: str, error: OxenError) -> Job:
    """Return what an error says about a generation. Raises one that only developers can fix."""
    if is_for_developers(error):
        raise error
    result: MediaResult | None = getattr(error, "result", None)
    if result is not None:
        return result
    is_missing = type(error).__name__ == "NotFoundError"
    reason = "Oxen knows no generation of this id." if is_missing else text.for_models(error)
    return UnknownJob(generation_id, reason)


def _require_any(jobs: list[Job]) -> list[Job]:
    if all(isinstance(job, UnknownJob) for job in jobs):
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(describe_jobs(jobs))
    return jobs


# Finding a model


def search_models(
    models: Iterable[Model], arguments: Mapping[str, Any], *, media_only: bool = True
) -> tuple[str, list[dict[str, Any]]]:
    """Return the models for a need, in words and as rows of plain data."""
    from oxen_inference.catalog.search import find_models, numbered_lines

    models = list(models)
    media = [model for model in models if any(model.makes(each) for each in MEDIA_TYPES)]
    matches = find_models(media if media_only else models, **arguments)
    parameters = [text.describe_parameters(m.model) for m in matches if m.model in media]
    return "\n".join([numbered_lines(matches), *parameters]), [match.as_row() for match in matches]
