"""What something cost, as an attribute of its OpenTelemetry span."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

# Of OpenInference (Phoenix), and the one that Langfuse reads.
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
# https://langfuse.com/integrations/native/opentelemetry
_ATTRIBUTES = ("llm.cost.total", "gen_ai.usage.cost")


def write_cost(span: Any, cost: Decimal | None) -> None:
    """Write `cost`, USD, into a span, if both are known."""
    if span is None or cost is None:
        return
    for name in _ATTRIBUTES:
        span.set_attribute(name, float(cost))
