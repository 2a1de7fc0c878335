"""One word for one thing: the field's own, in names and in prose."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SHIPPED = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")

PREFERRED = {
    "journal": "ledger",
    "catalogue": "catalog",
    "film": "video",
    "picture": "image",
    "behaviour": "behavior",
    "colour": "color",
}
"""Words that have a better one here, in lower case and without an ending."""

OLD_NAMES = re.compile(
    r"^_*(Asked|CataloguePeek|Dear|Doubtful|Flight|Halves|Haste|Journal\w*|Line|Maker|Misfit|Outspoken"
    r"|Pause|Peek|Rhythm|Seat|Silence|Tell|Till|Wishes|board|complain|denial|divert|doubt|hear|in_time"
    r"|land|patiently|pilot|pricing_looks|refuse_stranger|refuse_twins|see_off|share|told|unsaid"
    r"|weigh)$"
)
"""Names that said nothing to a reader who had not met them."""

_WORDS = "|".join(sorted(PREFERRED, key=len, reverse=True))
_IN_PROSE = re.compile(rf"\b({_WORDS})(?:s|ed|ing)?\b", re.IGNORECASE)
_IN_NAMES = re.compile(rf"(?:^|_)({_WORDS})(?:s|ed|ing)?(?:_|$)", re.IGNORECASE)

ALLOWED = {
    "oxen_inference/ledger/database.py": {"journal": "the name of the file that is refused"},
    "tests/unit/test_ledger.py": {"journal": "the name of the file that is refused"},
    "tests/contract/test_words.py": dict.fromkeys(PREFERRED, "the list of these words"),
}
"""By file: the words it may use, and why."""


def shipped_modules() -> Iterator[Path]:
    for package in SHIPPED:
        yield from sorted((REPOSITORY / package).rglob("*.py"))


def texts() -> list[Path]:
    """Every file that people write and read, code, tests and notebooks included."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.ipynb", "*.toml", "*.yml", "Makefile", ".ci/run"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [REPOSITORY / name for name in listed.stdout.split()]


def definitions(source: str) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def odd_names(source: str, module: str = "") -> set[str]:
    return {
        name
        for name in [module, *definitions(source)]
        if OLD_NAMES.match(name) or _IN_NAMES.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    }


def odd_test_names(source: str, module: str = "") -> set[str]:
    return {name for name in odd_names(source, module) if not OLD_NAMES.match(name)}


def odd_words(text: str) -> set[str]:
    return {match[1].lower() for match in _IN_PROSE.finditer(text)}


def test_names_are_the_fields_own() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): odd
        for path in shipped_modules()
        if (odd := odd_names(path.read_text("utf-8"), module=path.stem))
    }
    assert found == {}


def test_names_in_tests_have_one_word_for_one_thing() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): odd
        for path in texts()
        if path.suffix == ".py"
        and (odd := odd_test_names(path.read_text("utf-8"), module=path.stem))
    }
    assert found == {}


def test_prose_has_one_word_for_one_thing() -> None:
    found = {}
    for path in texts():
        name = str(path.relative_to(REPOSITORY))
        odd = odd_words(path.read_text("utf-8"))
        if odd != set(ALLOWED.get(name, {})):
            found[name] = odd
    assert found == {}


@pytest.mark.parametrize(
    ("source", "odd"),
    [
        ("class Journal: ...", {"Journal"}),
        ("class FilmReader: ...", {"FilmReader"}),
        ("def see_off(): ...", {"see_off"}),
        ("class _Outspoken: ...", {"_Outspoken"}),
        ("def f(picture_size): ...", {"picture_size"}),
        ("self.films = []", {"films"}),
        ("for catalogue in []: pass", {"catalogue"}),
        ("filmed_at: int = 1", {"filmed_at"}),
        ("ledger = Image = video = 1", set()),
    ],
)
def test_definitions_of_every_form_are_read(source: str, odd: set[str]) -> None:
    assert odd_names(source) == odd


def test_the_name_of_a_module_is_read() -> None:
    assert odd_names("", module="media_files") == set()
    assert odd_names("", module="pricing_looks") == {"pricing_looks"}
    assert odd_names("", module="film_reader") == {"film_reader"}
