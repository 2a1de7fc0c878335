"""The cost of a run, written into the traces of LangSmith and OpenTelemetry.

It is no part of ``usage_metadata``: LangChain adds those up, and raises on a number that is not an
int (`langchain_core.messages.ai.add_usage`).
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from oxen_inference.tools.spans import write_cost

_NAME = "total_cost"  # LangSmith's name for it


_INSTRUMENTATION = "openinference.instrumentation.langchain"


class _StreamCost(BaseCallbackHandler):
    """Writes what a streamed answer cost into its span: core gives streams no run manager."""

    run_inline = True

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_: Any) -> None:  # noqa: ARG002 - a hook's signature
        message: Any = getattr(chunk, "message", None)
        if getattr(message, "chunk_position", None) != "last":
            return
        from oxen_inference.chat.answer import charged_cost

        instrumentor = sys.modules[_INSTRUMENTATION].LangChainInstrumentor()
        if instrumentor.is_instrumented_by_opentelemetry:
            write_cost(instrumentor.get_span(run_id), charged_cost(message.response_metadata))


def with_stream_cost(config: RunnableConfig | None) -> RunnableConfig | None:
    """Return the config of a stream whose cost is traced, where something traces."""
    if _INSTRUMENTATION not in sys.modules:
        return config
    return merge_configs(config, {"callbacks": [_StreamCost()]})


def trace_cost(run_manager: Any, cost: Decimal | None, *, is_tool: bool = False) -> None:
    """Write what a run cost, in USD, into its traces: as metadata of the run, and of its span.

    `is_tool`: a tool's run has no token counts, and its cost can stand where LangSmith adds up.
    """
    if run_manager is None or cost is None:
        return
    for handler in run_manager.handlers:
        get_span = getattr(handler, "get_span", None)  # of openinference's tracer
        if get_span is not None:
            write_cost(get_span(run_manager.run_id), cost)
        run = (getattr(handler, "run_map", None) or {}).get(str(run_manager.run_id))
        if run is None or not isinstance(run.extra, dict):
            continue
        # A dict of this run alone: LangChain gives its metadata to the runs below as well.
        metadata = {**(run.extra.get("metadata") or {}), _NAME: float(cost)}
        if is_tool:
            metadata["usage_metadata"] = {_NAME: float(cost)}
        run.extra["metadata"] = metadata
