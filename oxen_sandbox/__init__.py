"""A local Oxen: the hub's HTTP contract without a key and without a bill.

Model names and parameters are real, prices are made up, and no answer of the sandbox says
anything about what the hub would answer.
"""

from typing import TYPE_CHECKING

from oxen_sandbox.faults import Fault

if TYPE_CHECKING:
    from oxen_sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox"]


def __getattr__(name: str) -> object:
    # Lazy, because pytest loads this package's plugin where the server is not installed.
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from oxen_sandbox.server import Sandbox
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The sandbox needs {error.name}: pip install 'oxen-integrations[sandbox]'",
            name=error.name,
        ) from error
    return Sandbox
