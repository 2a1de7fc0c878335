"""What the hub checks before it accepts a generation: model, modality, number, prompt, credits."""

from typing import Any

from oxen_sandbox.errors import Rejected, invalid_params
from oxen_sandbox.hub import Hub
from oxen_sandbox.models import JSON, outputs
from oxen_sandbox.state import Account

_MAX_GENERATIONS = 4


def media_model(
    hub: Hub, account: Account, body: JSON, kinds: set[str], count_names: tuple[str, ...] = ()
) -> tuple[JSON, str, int]:
    """The model, its media type and how many to make; raises `Rejected`."""
    if not body.get("model"):
        raise Rejected(400, "You must specify a model to call")
    model = hub.models.find(body["model"])
    kind = next((made for made in outputs(model) if made in kinds), None)
    if kind is None:
        raise invalid_params(f"{model['id']} does not generate {' or '.join(sorted(kinds))}.")
    count = _count(body, ("num_generations", *count_names))
    _check_prompt(kind, model, body)
    if account.credits <= 0:
        raise Rejected(402, "Insufficient credits", "insufficient_credits", shape="oxen")
    return model, kind, count


def _count(body: JSON, names: tuple[str, ...]) -> int:
    for name in names:
        count: Any = body.get(name)
        if count is None:
            continue
        if (
            isinstance(count, bool)
            or not isinstance(count, int)
            or not 1 <= count <= _MAX_GENERATIONS
        ):
            raise invalid_params(f"{name} must be an integer between 1 and {_MAX_GENERATIONS}")
        return count
    return 1


def _check_prompt(kind: str, model: JSON, body: JSON) -> None:
    prompt, multi = body.get("prompt"), body.get("multi_prompt")
    if prompt and multi:
        raise invalid_params("Cannot provide both 'prompt' and 'multi_prompt'.")
    if prompt or multi:
        return
    schema = model.get("request_schema") or {}
    fields = schema.get("properties") or {}
    if "multi_prompt" in fields:
        raise invalid_params("Either 'prompt' or 'multi_prompt' must be provided.")
    if fields and ("prompt" not in fields or "prompt" not in (schema.get("required") or [])):
        return  # an upscaler needs no words
    if "prompt" not in body and "default" in fields.get("prompt", {}):
        return
    if kind == "video" and prompt is None:
        raise invalid_params("Either 'prompt' or 'multi_prompt' must be provided.")
    raise invalid_params("Prompt cannot be empty")
