"""Templates of file names: what passes the check names every file, whatever seed it has."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from oxen_inference.errors import InvalidInputError
from oxen_inference.ledger.entries import Entry
from oxen_inference.media.file_names import check_template, stem_of
from oxen_inference.result import MediaItem

ENTRY = Entry(
    entry_id="e", hub="h", account="a", key=None, fingerprint="f", kind="queue", model="m",
    media_type="image", request={"prompt": "an ox"}, defaults={}, count=1, state="accepted",
    attempt=0, owner="lease", created_at=0.0, posted_at=0.0, decided_at=0.0, error=None, notes=(),
    items=(), reserved=Decimal(0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{index:05}-{model}-{seed}", ("00007-m-42", "00007-m-none")),
        ("{seed:05d}", ("00042", "none")),
        ("{seed:>6}", ("    42", "  none")),
        ("{prompt:.2}-{number}", ("an-1", "an-1")),
        ("{index:{number}}", ("7", "7")),
    ],
)
def test_a_template_that_passes_names_a_file_with_and_without_a_seed(
    template: str, names: tuple[str, str]
) -> None:
    check_template(template)
    items = (MediaItem(generation_id="g", seed=seed) for seed in (42, None))
    assert tuple(stem_of(template, ENTRY, item, 0, 7) for item in items) == names


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{seed:.6}", "Precision not allowed"),
        ("{seed:s}", "Unknown format code 's'"),
        ("{seed:c}", "%c arg not in range"),
        ("{index:{width}}", "it has no field width"),
        ("{index:{prompt.x}}", "it has no field prompt.x"),
        ("{index:{}}", "it has no field without a name"),
        ("{nr}", "it has no field nr"),
        ("{index", "expected '}'"),
        (7, "it is no text"),
    ],
)
def test_a_template_that_would_fail_after_payment_is_refused(
    template: object, problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(problem)):
        check_template(template)
