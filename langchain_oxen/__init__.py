"""Every Oxen.ai model in LangChain: chat models, media tools, the catalog.

Names load on first use: importing this package does not import openai.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from oxen_inference._version import __version__

if find_spec("langchain_core") is None:
    raise ImportError(
        "langchain_oxen needs langchain-core: pip install 'oxen-integrations[langchain]'"
    )

if TYPE_CHECKING:
    from langchain_oxen.budget_middleware import OxenBudgetMiddleware
    from langchain_oxen.chat_models import ChatOxen
    from langchain_oxen.costs import oxen_cost
    from langchain_oxen.loader import OxenModelLoader
    from langchain_oxen.media_tool import OxenMediaTool
    from langchain_oxen.progress import MediaProgressBars
    from langchain_oxen.prompt_caching import OxenPromptCachingMiddleware
    from langchain_oxen.registration import register
    from langchain_oxen.toolkit import OxenFindModelsTool, OxenToolkit

__all__ = [
    "ChatOxen",
    "MediaProgressBars",
    "OxenBudgetMiddleware",
    "OxenFindModelsTool",
    "OxenMediaTool",
    "OxenModelLoader",
    "OxenPromptCachingMiddleware",
    "OxenToolkit",
    "__version__",
    "oxen_cost",
    "register",
]

_MODULES = {
    "ChatOxen": "chat_models",
    "MediaProgressBars": "progress",
    "OxenBudgetMiddleware": "budget_middleware",
    "OxenFindModelsTool": "toolkit",
    "OxenMediaTool": "media_tool",
    "OxenModelLoader": "loader",
    "OxenPromptCachingMiddleware": "prompt_caching",
    "OxenToolkit": "toolkit",
    "oxen_cost": "costs",
    "register": "registration",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"langchain_oxen.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'langchain_oxen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
