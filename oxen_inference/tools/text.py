"""What a tool says to the model, in words, and leaves to the program, as references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.generation import MEDIA_TYPES

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.result import MediaItem, MediaResult

_LONG_SUMMARY = 300
_LONG_ARGUMENT = 300
# By the name of an error's class: what a language model can do about it.
_ADVICE = {
    "GenerationTimeout": "Call the tool again with exactly the same arguments to keep waiting for "
    "it; that is not paid for again.",
    "EnqueueOutcomeUnknown": "Calling the tool again with exactly the same arguments looks for it "
    "again and does not pay twice.",
    "DownloadError": "Call the tool again with exactly the same arguments to fetch it; that is not "
    "paid for again.",
    "BudgetExceededError": "Choose cheaper settings or a cheaper model, or tell the user.",
    "InsufficientCreditsError": "Tell the user.",
    "KeyConflictError": "Make a new call of the tool.",
    "ModelInactiveError": "Use another model, or tell the user.",
    "RateLimitError": "Try again later, or tell the user.",
    "RequestTimeoutError": "Try again later, or tell the user.",
    "InternalServerError": "Try again later, or tell the user.",
    "APIConnectionError": "Try again later, or tell the user.",
}
# Audio of a synchronous route comes in the answer itself: there is no id to ask for it again.
_ADVICE_ON_AUDIO = _ADVICE | {
    "EnqueueOutcomeUnknown": "It may be paid for: tell the user before you call the tool again.",
    "DownloadError": "Tell the user: to call the tool again makes and pays for another one.",
}
# Instead of a message that speaks of what a language model does not know.
_MESSAGES = {
    "KeyConflictError": "An earlier call of the same id asked for something else.",
    "ModelInactiveError": "The model is not active at present.",
}


def describe(result: MediaResult) -> str:
    """Say what was made, where it is, and what failed."""
    made, asked = len(result.succeeded), len(result.items)
    cost = "at a cost not known yet" if result.cost is None else f"for {_usd(result)}"
    count = f"{made} {result.media_type}{'s' if made > 1 else ''}"
    head = f"Made {count} with {result.model} {cost}."
    lines = [f"{number}. {_where(item)}" for number, item in enumerate(result.succeeded, 1)]
    failed = [f"Failed ({made} of {asked} made): {_why(item)}" for item in result.failures]
    return "\n".join([head, *lines, *failed, *result.notes])


def describe_job(result: MediaResult) -> str:
    """Say how far a job is that nobody waits for."""
    if result.is_terminal:
        if result.succeeded:
            return describe(result)
        return f"Error: {result.status}: {'; '.join(map(_why, result.failures))}"
    ids = ", ".join(result.generation_ids) or "no generation id yet"
    states = ", ".join(sorted({item.status for item in result.items})) or "not confirmed"
    return (
        f"The {result.media_type} by {result.model} is not ready ({states}). Generation ids: {ids}."
    )


def explain(error: Exception) -> str:
    """Say what went wrong, in Oxen's words, and what a language model can do about it.

    The error's hint is left out: it is for developers.
    """
    return " ".join(filter(None, (f"Error: {for_models(error)}", _advice(error))))


def for_models(error: Exception) -> str:
    """Say what went wrong, without advice, as one or more sentences."""
    result = getattr(error, "result", None)
    if type(error).__name__ == "GenerationTimeout" and result is not None:
        return describe_job(result)
    message = _by_class(_MESSAGES, error) or str(getattr(error, "message", error))
    return _end_sentence(message) or type(error).__name__


def _advice(error: Exception) -> str | None:
    if suggestions := getattr(error, "suggestions", ()):
        from oxen_inference.catalog.suggestions import suggestion

        return suggestion(suggestions)
    result = getattr(error, "result", None)
    has_no_id = result is not None and result.media_type == "audio" and not result.generation_ids
    return _by_class(_ADVICE_ON_AUDIO if has_no_id else _ADVICE, error)


def _by_class(table: Mapping[str, str], error: Exception) -> str | None:
    names = (cls.__name__ for cls in type(error).__mro__)
    return next((table[name] for name in names if name in table), None)


def _end_sentence(text: str) -> str:
    from oxen_inference.errors import end_sentence

    return end_sentence(text)


def references(result: MediaResult | None) -> dict[str, Any] | None:
    """Return a result as plain data without any bytes: ids, URLs, paths, costs, errors."""
    data: dict[str, Any] | None = None if result is None else without_bytes(result.to_dict())
    return data


def without_bytes(value: Any) -> Any:
    """Return plain data with the content of data URLs left out: checkpoints keep every copy."""
    if isinstance(value, str):
        if value.startswith("data:"):
            return f"{value.partition(',')[0]},… ({len(value)} characters)"
        return value
    if isinstance(value, Mapping):
        return {name: without_bytes(one) for name, one in value.items()}
    return [without_bytes(one) for one in value] if isinstance(value, list | tuple) else value


def asked_about(tool: str, arguments: Mapping[str, Any], price: Quote) -> str:
    """Ask a person about a call: what it would make, and for how much."""
    from oxen_inference.money import usd

    costs = f"costs up to {usd(price.high)}" if price.high is not None else f"has a price {price}"
    made = ", ".join(f"{name}={_brief(value)}" for name, value in arguments.items())
    return f"{tool}({made}) {costs}. Go ahead?"


def declined(reason: object, *, is_paid: bool = False) -> str:
    """Tell the model that a person did not approve its call, with the reason, if one was given.

    `is_paid`: the call was made and paid for before the person answered.
    """
    from oxen_inference.errors import end_sentence

    because = f" The reason: {end_sentence(str(reason))}" if reason else ""
    what_happened = (
        "but it had been paid for already; the result can still be fetched"
        if is_paid
        else "and it was not made"
    )
    return (
        f"A person said no to this call, {what_happened}.{because} Do not repeat it unless the "
        "user asks for it."
    )


def unanswered(*, is_asked: bool, is_paid_tool: bool, job: MediaResult | Exception | None) -> str:
    """Tell the model why a call has no result: the conversation went on before there was one.

    `job`: what was paid for with it, or why that is not known.
    """
    why = (
        "This call was not run: a person was asked about it, and the conversation went on before "
        "there was a decision."
        if is_asked
        else "This call has no result: the conversation went on before there was one."
    )
    if isinstance(job, Exception):
        return f"{why} Whether it was paid for is not known: {for_models(job)} Tell the user."
    if job is not None:
        state = "It is paid for" if job.generation_ids else "It may have been paid for"
        again = "" if job.is_terminal else f" {_ADVICE['GenerationTimeout']}"
        return (
            "The conversation went on before this call had a result. "
            f"{state}. {_end_sentence(describe_job(job))}{again}"
        )
    nothing = " Nothing was bought." if is_paid_tool else ""
    return f"{why}{nothing} Do not repeat it unless the user asks for it."


def _brief(value: Any) -> str:
    """Show an argument to a person: an address without its signature, nothing of great length."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        value = value.partition("?")[0]
    shown = repr(without_bytes(value))
    return shown if len(shown) <= _LONG_ARGUMENT else f"{shown[:_LONG_ARGUMENT]}…"


def tool_description(model: Model, pinned: Mapping[str, Any]) -> str:
    """Say what a model makes, from what, and for how much."""
    from oxen_inference.catalog.pricing import quote

    kind = model.kind or "file"
    said = (model.summary or model.description or "").strip().split("\n")[0][:_LONG_SUMMARY]
    price = quote(model, pinned)
    inputs = [one for one in model.inputs if one in MEDIA_TYPES]
    parts = [
        f"Makes {'a' if kind == 'video' else 'an'} {kind} with {model.name}.",
        said if not said or said.endswith(".") else f"{said}.",
        "Takes some minutes." if kind == "video" else "",
        f"Costs {price} per {kind} with default settings." if price.known else "",
        f"Inputs ({', '.join(inputs)}) are public URLs, data URLs, or generation ids of earlier "
        "results."
        if inputs
        else "",
    ]
    return " ".join(part for part in parts if part)


def describe_parameters(model: Model) -> str:
    """Name a model's parameters in one line: what must be given, what may be chosen."""
    from oxen_inference.catalog.tool_args import arguments_model

    schema = arguments_model(model).model_json_schema()
    required = schema.get("required", [])
    shown = [
        f"{name} ({_choice(spec)}{', required' if name in required else ''})"
        for name, spec in schema.get("properties", {}).items()
    ]
    return f"Parameters of {model.id}: {', '.join(shown)}."


def _choice(spec: Mapping[str, Any]) -> str:
    if "enum" in spec:
        return " | ".join(map(str, spec["enum"]))
    if "anyOf" in spec:
        return " or ".join(map(_choice, spec["anyOf"]))
    low, high = spec.get("minimum"), spec.get("maximum")
    kind = str(spec.get("type", "any"))
    return kind if low is None or high is None else f"{kind} {low} to {high}"


def _where(item: MediaItem) -> str:
    facts = [f"generation id {item.generation_id}" if item.generation_id else ""]
    facts.append(f"{item.width}x{item.height}" if item.width and item.height else "")
    facts.append(f"{item.duration:g} s" if item.duration else "")
    facts.append(f"saved as {item.path}" if item.path else "")
    url = without_bytes(item.url) if item.url else ""
    known = ", ".join(fact for fact in facts if fact)
    return f"{url} ({known})" if url else known


def _why(item: MediaItem) -> str:
    named = f" (generation id {item.generation_id})" if item.generation_id else ""
    return f"{item.error or item.status}{named}"


def _usd(result: MediaResult) -> str:
    from oxen_inference.money import usd

    assert result.cost is not None  # noqa: S101 - asked for only then
    return usd(result.cost)
