"""Every Oxen.ai model in LangChain: chat, media tools, the catalogue.

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
    from langchain_oxen.chat_models import ChatOxen
    from langchain_oxen.find_models import OxenFindModelsTool
    from langchain_oxen.loader import OxenModelLoader

__all__ = [
    "ChatOxen",
    "OxenFindModelsTool",
    "OxenModelLoader",
    "__version__",
]

_HOME = {
    "ChatOxen": "chat_models",
    "OxenFindModelsTool": "find_models",
    "OxenModelLoader": "loader",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"langchain_oxen.{_HOME[name]}"), name)
    raise AttributeError(f"module 'langchain_oxen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
