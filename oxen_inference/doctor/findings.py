"""What the doctor finds: known differences from the documentation, and deviations from the library."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: what was expected, what was seen, and what it means for the user."""

    check: str
    expected: str
    seen: str
    means: str


@dataclass(slots=True)
class Report:
    """The findings of all checks. `facts` are figures that are neither."""

    known: list[Finding] = field(default_factory=list)
    """What differs from the documentation, and the library handles."""
    deviations: list[Finding] = field(default_factory=list)
    """What the library does not expect."""
    facts: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Checks that were not made, and why."""
    unreachable: list[str] = field(default_factory=list)
    """Checks that failed, since the hub or the ledger could not be reached or used, and why."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "known": [asdict(each) for each in self.known],
            "deviations": [asdict(each) for each in self.deviations],
            "facts": self.facts,
            "skipped": self.skipped,
            "unreachable": self.unreachable,
        }


def some(names: list[str], limit: int = 5) -> str:
    """Return the first names of a list, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - limit} more" if len(distinct) > limit else ""
    return ", ".join(distinct[:limit]) + more
