"""Errors and warnings about paid work name commands on the command line, and no Python calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oxen_inference.cli.words import WORDS, in_commands
from oxen_inference.errors import InvalidInputError
from oxen_inference.media.bulk_run import BulkOptions
from tests.conftest import REPOSITORY

ROOMS = ("media", "ledger", "doctor")
NOT_FOR_A_TERMINAL = (
    "ledger=budget.ledger",  # two ledgers in one program
    "client.media.allowed_hosts",  # a setting that no command has
    "forget_overruns",  # same
    "by which processes share it",  # of budgets without a name
)


def written(node: ast.AST) -> str:
    """Return a text of the source, with 'x' in place of what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant)
            else "'x'" if isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
            else "x"
            for part in node.values
        )  # fmt: skip
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def hints(*rooms: str) -> Iterator[tuple[Path, str]]:
    for room in rooms:
        for path in sorted((REPOSITORY / "oxen_inference" / room).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
            prose |= {
                id(p) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for p in n.values
            }
            for node in ast.walk(tree):
                text = "" if id(node) in prose else written(node)
                for short, whole in FILLED_IN.items():
                    text = text.replace(short, whole)
                if " " in text and not any(each in text for each in NOT_FOR_A_TERMINAL):
                    yield path, text


FILLED_IN = {
    "generation_ids=x": "generation_ids=['x']",
    "client.media.x": "client.media.resume('x')",
}
"""Texts that are put together of several ones → as they are said."""


SAID = list(hints("."))


def test_every_hint_about_paid_work_has_a_command() -> None:
    calls = re.compile(r"client\.media\.|client\.catalog\.|Budget\(|price_caps=|key_prefix=")
    found = list(hints(*ROOMS))
    assert any("client.media.reconcile" in text for _, text in found)
    left = {(path.name, text) for path, text in found if calls.search(in_commands(text))}
    assert left == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("client.media.resume('run-a:1#2') gets it back.", "`oxen-inference fetch run-a:1#2` gets"),
        ("client.media.attach(generation_ids=['g1', 'g2']).wait() gets", "`oxen-inference fetch g1`"),
        ("The same requests with key_prefix='run-a' go on with them.", "The same command goes on"),
        ("9 generations go on at Oxen: a-1, b-2, …. The same requests with key_prefix='r' go on with them",
         "9 generations go on at Oxen. The same command goes on with them"),
        ("Use generate without a key, or a run without key_prefix: it", "Commands give each request a key. Use generate in Python, without one: it"),
        ("save_to must be a folder", "--save-to must be a folder"),
    ],
)  # fmt: skip
def test_calls_become_commands(text: str, words: str) -> None:
    assert in_commands(text).startswith(words)


def test_no_rule_is_about_a_text_that_nobody_says() -> None:
    said = [text for path, text in SAID if path.name != "words.py"]
    for option in ("max_in_flight", "max_connections", "attempts"):  # the name is filled in
        with pytest.raises(InvalidInputError) as caught:
            BulkOptions(**{option: 0}).check()
        said.append(caught.value.message)
    silent = [p.pattern for p, _ in WORDS if not any(map(p.search, said))]
    assert silent == []
