"""The pages say what is there: every error has its row, every image its file, nothing is fetched."""

from __future__ import annotations

import importlib
import re

from oxen_inference import errors
from tests.conftest import REPOSITORY
from tests.docs.snippets import PACKAGES

DOCS = REPOSITORY / "docs"


def test_every_error_is_explained() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert set(errors.__all__) - {"OxenError", "MediaError"} == explained


def test_no_page_fetches_anything() -> None:
    pages = [
        *DOCS.rglob("*.md"),
        *DOCS.rglob("*.svg"),
        *DOCS.rglob("*.css"),
        REPOSITORY / "mkdocs.yml",
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"!\[[^\]]*\]\(https?:|src=[\"']?https?:|: *url\([\"']?https?:|@import", text
        )
        assert not fetched, f"{page}: {fetched}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"([\w/-]+\.md)\b", navigation))
    assert {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} == listed


def test_every_public_name_is_in_the_reference() -> None:
    entries = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    for package in PACKAGES:
        for name in set(importlib.import_module(package).__all__) - {"OxenError", "__version__"}:
            assert re.search(rf"^::: {package}\..*\b{name}$", entries, re.MULTILINE), name
