"""Unit tests open no sockets; one that tries fails."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def no_sockets() -> object:
    # Unix sockets stay: an event loop needs a pair of them.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
