"""The fixture `oxen_sandbox`: a hub of its own for each test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oxen_sandbox.server import Sandbox


@pytest.fixture
def oxen_sandbox() -> Iterator["Sandbox"]:
    """A running `Sandbox`, forgotten after the test; skips where the extra is not installed."""
    try:
        from oxen_sandbox import Sandbox
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("oxen_sandbox"):
            raise
        pytest.skip(str(error))
    # Starting a hub takes a few milliseconds: a fresh one is the surest isolation.
    with Sandbox() as hub:
        yield hub
