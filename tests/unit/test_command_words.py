"""Errors and warnings about paid work name commands on the command line, and no Python calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oxen_inference.cli.words import in_commands
from tests.conftest import REPOSITORY

ROOMS = ("media", "ledger")
NOT_FOR_A_TERMINAL = (
    "ledger=budget.ledger",  # two ledgers in one program
    "client.media.allowed_hosts",  # a setting that no command has
    "forget_breaches",  # same
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


def hints() -> Iterator[tuple[Path, str]]:
    for room in ROOMS:
        for path in sorted((REPOSITORY / "oxen_inference" / room).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
            prose |= {
                id(p) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for p in n.values
            }
            for node in ast.walk(tree):
                text = "" if id(node) in prose else written(node)
                if " " in text and not any(each in text for each in NOT_FOR_A_TERMINAL):
                    yield path, text


def test_every_hint_about_paid_work_has_a_command() -> None:
    calls = re.compile(r"client\.media\.|client\.catalog\.|Budget\(|price_caps=|key_prefix=")
    found = list(hints())
    assert any("client.media.reconcile" in text for _, text in found)
    filled_in = {
        "generation_ids=x": "generation_ids=['x']",
        "client.media.x": "client.media.resume('x')",
    }
    for short, whole in filled_in.items():
        found = [(path, text.replace(short, whole)) for path, text in found]
    left = {(path.name, text) for path, text in found if calls.search(in_commands(text))}
    assert left == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("client.media.resume('run-a:1#2') gets it back.", "`oxen-inference fetch run-a:1#2` gets"),
        ("client.media.attach(generation_ids=['g1', 'g2']).wait() gets", "`oxen-inference fetch g1`"),
        ("The same requests with key_prefix='run-a' go on with them.", "The same command goes on"),
        ("save_to must be a folder", "--save-to must be a folder"),
    ],
)  # fmt: skip
def test_calls_become_commands(text: str, words: str) -> None:
    assert in_commands(text).startswith(words)
