"""Every Oxen.ai model in LlamaIndex: the LLM, media tools, the catalog.

Names load on first use: importing this package does not import openai.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from oxen_inference._version import __version__

# The namespace package `llama_index` may be there without its core.
if find_spec("llama_index") is None or find_spec("llama_index.core") is None:
    raise ImportError(
        "llama_index_oxen needs llama-index-core: pip install 'oxen-integrations[llama-index]'"
    )

if TYPE_CHECKING:
    from llama_index_oxen.llm import Oxen
    from llama_index_oxen.reader import OxenModelReader
    from llama_index_oxen.runs import resume_run, save_run
    from llama_index_oxen.tool_spec import OxenToolSpec

__all__ = [
    "Oxen",
    "OxenModelReader",
    "OxenToolSpec",
    "__version__",
    "resume_run",
    "save_run",
]

_MODULES = {
    "Oxen": "llm",
    "OxenModelReader": "reader",
    "OxenToolSpec": "tool_spec",
    "resume_run": "runs",
    "save_run": "runs",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"llama_index_oxen.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'llama_index_oxen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
