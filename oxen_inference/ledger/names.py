"""How long a name may be that a ledger finds something by."""

from __future__ import annotations

from hashlib import sha256

LONGEST_NAME = 1_000
"""UTF-8 bytes of a key, a conversation or a budget's name: PostgreSQL indexes at most 2,704."""


def is_too_long(name: str) -> bool:
    """Whether a ledger could not hold a name on every database."""
    return len(name.encode(errors="replace")) > LONGEST_NAME


def shortened(name: str) -> str:
    """Return what stands for a name that nobody reads: itself, or its beginning and a hash of it."""
    if not is_too_long(name):
        return name
    return f"{name[:100]}:{sha256(name.encode(errors='replace')).hexdigest()}"
