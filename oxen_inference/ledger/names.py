"""How long a name may be that a ledger finds something by."""

from __future__ import annotations

from hashlib import sha256

LONGEST_NAME = 1_000
"""UTF-8 bytes of a key, a conversation or a budget's name: PostgreSQL indexes at most 2,704."""


AGENT_RUN, AGENT_THREAD = "agent-run:", "agent-thread:"
"""How the names of budgets begin that an agent's middleware makes for a run and for a thread."""


def label_of_budget(name: str) -> str:
    """Return what a message calls a budget: by its name, unless nobody but a program made that."""
    if name.startswith(AGENT_RUN):
        return "this run's budget"
    return "this thread's budget" if name.startswith(AGENT_THREAD) else f"the budget {name!r}"


def is_too_long(name: str) -> bool:
    """Whether a ledger could not hold a name on every database."""
    return len(name.encode(errors="replace")) > LONGEST_NAME


def shortened(name: str) -> str:
    """Return what stands for a name that nobody reads: itself, or its beginning and a hash of it."""
    if not is_too_long(name):
        return name
    return f"{name[:100]}:{sha256(name.encode(errors='replace')).hexdigest()}"
