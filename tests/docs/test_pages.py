"""The pages say what is there: every error has its row, every image its file, nothing is fetched."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

import oxen_inference
from oxen_inference import errors
from oxen_inference.cli.main import main
from tests.conftest import REPOSITORY
from tests.docs.snippets import PACKAGES, python_blocks

DOCS = REPOSITORY / "docs"


def test_every_error_is_explained() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    warnings = {name for name in oxen_inference.__all__ if name.endswith("Warning")}
    assert (set(errors.__all__) | warnings) - {"OxenError", "MediaError"} == explained


def test_every_option_of_the_command_line_is_on_a_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages = "\n".join(page.read_text("utf-8") for page in DOCS.rglob("*.md"))
    make_many = (DOCS / "make-many.md").read_text("utf-8")
    commands = [
        "",
        *_names(_help(capsys)),
        *map("ledger {}".format, _names(_help(capsys, "ledger"))),
    ]
    assert {"generate", "ledger prune"} <= set(commands)
    for command in commands:
        text = make_many if command == "generate" else pages
        options = set(re.findall(r"(?<![\w-])--[a-z-]+", _help(capsys, *command.split())))
        for option in options - {"--help"}:
            assert re.search(rf"{option}(?![\w-])", text), f"oxen-inference {command} {option}"


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    return capsys.readouterr().out


def _names(text: str) -> list[str]:
    """Return the commands that a help lists."""
    return re.findall(r"^    ([\w-]+) ", text, re.MULTILINE)


def test_rows_of_a_table_are_not_apart() -> None:
    """A blank line ends a table: rows behind it are shown as text."""
    for page in [*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")]:
        text = re.sub(
            r"^( *)```.*?^\1```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for block in re.split(r"\n\s*\n", text):
            rows = [line.strip() for line in block.splitlines() if line.strip().startswith("|")]
            assert not rows or re.fullmatch(r"[|:\- ]+", "".join(rows[1:2])), f"{page}: {rows[0]}"


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
    names = {(package, name) for package in PACKAGES for name in import_module(package).__all__}
    assert {each for each in names if not in_reference(*each)} == {
        (package, "__version__") for package in PACKAGES if (package, "__version__") in names
    }


def test_what_pages_import_is_in_the_reference() -> None:
    """What is not in the reference is not public."""
    pages = {block.path for block in python_blocks() if block.path.suffix == ".md"}
    left = set()
    for page in pages:
        text = page.read_text("utf-8")
        for module, names in re.findall(
            r"^ *from (\w*oxen\w*[\w.]*) import (.+)$", text, re.MULTILINE
        ):
            left |= {(module, name) for name in re.findall(r"\w+", names)}
    assert ("oxen_inference", "OxenClient") in left
    assert {each for each in left if not in_reference(*each)} == set()


def in_reference(module: str, name: str) -> bool:
    """Whether a name is listed, by itself or with the errors of its package."""
    package = module.split(".", maxsplit=1)[0]
    entries = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    if f"::: {package}.errors" in entries:
        errors_of_it = import_module(f"{package}.errors").__all__
        if name in errors_of_it and module in (package, f"{package}.errors"):
            return True
    return re.search(rf"^::: {package}\..*\b{name}$", entries, re.MULTILINE) is not None
