"""A local Oxen: the hub's HTTP contract without a key and without a bill.

Model names and parameters are real, prices are made up, and no answer of the sandbox says
anything about what the hub would answer.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from oxen_sandbox.faults import Fault

if TYPE_CHECKING:
    from oxen_sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox"]


_EXTRA = ("starlette", "uvicorn", "jsonschema", "PIL", "av")


def __getattr__(name: str) -> object:
    # Lazy, because pytest loads this package's plugin where the extra is not installed.
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for needed in _EXTRA:
        if find_spec(needed) is None:
            raise ModuleNotFoundError(
                f"The sandbox needs {needed}: pip install 'oxen-integrations[sandbox]'", name=needed
            )
    from oxen_sandbox.server import Sandbox

    return Sandbox


def __dir__() -> list[str]:
    return list(__all__)
