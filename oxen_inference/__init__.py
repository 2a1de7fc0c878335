"""Oxen.ai's inference API: the OpenAI SDK pointed at Oxen, and the calls it lacks.

Names load on first use: importing this package does not import openai, which takes most of a
second. The error tree is in `oxen_inference.errors`, and all of it is importable from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oxen_inference._version import __version__

if TYPE_CHECKING:
    from oxen_inference.catalog.models import CatalogWarning, Model
    from oxen_inference.chat.answer_cost import CostWarning
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import *  # noqa: F403 - all of the tree is importable from here
    from oxen_inference.errors import OxenError
    from oxen_inference.generation import Generation
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.database import LedgerWarning
    from oxen_inference.ledger.store import Ledger
    from oxen_inference.money import BudgetWarning
    from oxen_inference.result import MediaResult
    from oxen_inference.settings import OxenKeyWarning
    from oxen_inference.transcription import Transcription

__all__ = [
    "AsyncOxenClient",
    "Budget",
    "BudgetWarning",
    "CatalogWarning",
    "CostWarning",
    "Generation",
    "Ledger",
    "LedgerWarning",
    "MediaResult",
    "Model",
    "OxenClient",
    "OxenError",
    "OxenKeyWarning",
    "Transcription",
    "__version__",
]

_HOME = {
    "AsyncOxenClient": "client",
    "Budget": "ledger.budgets",
    "BudgetWarning": "money",
    "CatalogWarning": "catalog.models",
    "CostWarning": "chat.answer_cost",
    "Generation": "generation",
    "Ledger": "ledger.store",
    "LedgerWarning": "ledger.database",
    "MediaResult": "result",
    "Model": "catalog.models",
    "OxenClient": "client",
    "OxenKeyWarning": "settings",
    "Transcription": "transcription",
}


def __getattr__(name: str) -> Any:
    # Whatever has no other home is looked for in the error tree.
    if not name.startswith("_"):
        module = import_module(f"oxen_inference.{_HOME.get(name, 'errors')}")
        if name in _HOME or name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module 'oxen_inference' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
