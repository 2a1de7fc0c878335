"""The cost of a call, written into its OpenTelemetry span."""

from __future__ import annotations

import sys
from typing import Any


def current_span() -> Any:
    """Return OpenInference's span of the call that is running; None without instrumentation."""
    # Whoever instruments LlamaIndex has imported it; others should not have to.
    module = sys.modules.get("openinference.instrumentation.llama_index")
    get_current_span = getattr(module, "get_current_span", None)
    return None if get_current_span is None else get_current_span()
