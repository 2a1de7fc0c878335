"""A model as a document: text for people and retrievers, flat metadata for filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.effective import effective
from oxen_inference.catalog.models import MODALITIES
from oxen_inference.catalog.parameters import parameters
from oxen_inference.catalog.pricing import price_hint
from oxen_inference.catalog.pricing_quantities import duration_range
from oxen_inference.catalog.pricing_tiers import can_have_audio
from oxen_inference.catalog.schema import bounds, choices_of, shown, types_of

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

Scalar = str | int | float

_VERBS = {"text": "writes text", "image": "makes images", "video": "makes videos"}
_FILES = ("file", "files", "pdf", "pdfs", "document", "documents")
"""What entries call inputs that are not among the modalities."""


def document_id(model: Model) -> str:
    """Return the id of a model's document: the same for the same model, always."""
    return f"oxen-model:{model.id}"


def page(model: Model) -> str:
    """Return what a model does, takes, makes and costs, and its parameters, as readable text."""
    return "\n".join(_lines(model))


def metadata(model: Model) -> dict[str, Scalar]:
    """Return a model's facts as scalars, which every vector store can filter by.

    `makes_video`, `takes_image` and so on are 1 or 0, since LlamaIndex's filters know no booleans;
    `takes_file` means documents such as PDFs; lengths are in seconds and costs in USD. What is not
    known is left out.
    """
    pricing, call = model.pricing, effective(model, {})
    longest = duration_range(call)
    facts: dict[str, Scalar | None] = {
        "source": document_id(model),
        "model_id": model.id,
        "name": model.name,
        "developer": model.developer,
        "model_type": model.model_type,
        "kind": model.kind,
        "endpoint": model.endpoint,
        "owned_by": model.owned_by,
        "created": int(model.created) if model.created is not None else None,
        "released_at": model.released_at,
        "deployment_status": model.deployment_status,
        "pricing_method": pricing.method if pricing else None,
        "price": price_hint(model),
        "can_have_audio": int(can_have_audio(call, pricing)) if model.makes("video") else None,
        "longest_seconds": float(longest[1]) if longest and model.makes("video") else None,
    }
    facts |= {f"makes_{modality}": int(model.makes(modality)) for modality in MODALITIES}
    if model.inputs:
        facts |= {f"takes_{modality}": int(model.takes(modality)) for modality in MODALITIES}
        facts["takes_file"] = int(any(map(model.takes, _FILES)))
    for name in (
        "cost_per_image",
        "cost_per_second",
        "input_cost_per_token",
        "output_cost_per_token",
    ):
        price = getattr(pricing, name, None)
        facts[name] = float(price) if price is not None else None
    return {name: fact for name, fact in facts.items() if fact is not None}


def _lines(model: Model) -> Iterator[str]:
    by = f" by {model.developer}" if model.developer else ""
    yield f"{model.name} ({model.id}){by}"
    # First what it makes: in an index, a chat model that reads videos is near to one that makes them.
    makes = ", ".join(_VERBS.get(output, f"makes {output}") for output in model.outputs)
    if makes and model.is_chat:
        yield f"It is a chat model that {makes}" + (
            f", and reads {', '.join(model.inputs)}." if model.inputs else "."
        )
    elif makes:
        yield f"It {makes}" + (f" from {', '.join(model.inputs)}." if model.inputs else ".")
    for text in (model.summary, model.description):
        if text:
            yield text
    for source in model.inputs:
        yield from (
            f"Turns {source} into {made} ({source} to {made})."
            for made in model.outputs
            if made != "text" or (source != "text" and not model.is_chat)
        )
    call = effective(model, {})
    length = duration_range(call)
    if length and model.makes("video"):
        yield f"Length: {length[0]:g} to {length[1]:g} seconds."
    if model.makes("video") and can_have_audio(call, model.pricing):
        yield "Can have audio."
    price = price_hint(model)
    yield f"Price: {price}." if price else "Price: not published."
    if model.deployment_status:
        yield f"A custom model, {model.deployment_status}."
    known = parameters(model)
    if known.fields:
        yield "Parameters:"
        for name, spec in known.fields.items():
            if not known.is_hidden(name):
                yield f"- {name}: {_parameter_text(spec, required=known.must_be_given(name))}"


def _parameter_text(spec: Mapping[str, Any], *, required: bool) -> str:
    choices = choices_of(spec)
    least, most = bounds(spec)
    parts = ["required" if required else "optional"]
    if choices:
        parts.append(f"one of {', '.join(shown(choice) for choice in choices)}")
    else:
        parts += sorted(types_of(spec))
    if least is not None and most is not None:
        parts.append(f"{least} to {most}")
    if spec.get("default") not in (None, ""):
        parts.append(f"default {shown(spec['default'])}")
    text = spec.get("description")
    return ", ".join(parts) + (
        f". {text.strip()}" if isinstance(text, str) and text.strip() else ""
    )
