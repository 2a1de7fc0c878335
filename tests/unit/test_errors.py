from __future__ import annotations

import ast
import copy
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from langchain_oxen import errors as langchain_errors
from oxen_inference import errors

CLASSES = [
    value
    for module in (errors, langchain_errors)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, errors.OxenError)
]
COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda error: pickle.loads(pickle.dumps(error)),
]


def raised(cls: type[errors.OxenError], message: str = "Not found", **kwargs: Any) -> Any:
    try:
        raise cls(message, **kwargs) from ValueError("the cause")
    except errors.OxenError as error:
        return error


@pytest.mark.parametrize("cls", dict.fromkeys(CLASSES))
@pytest.mark.parametrize("duplicate", [lambda error: error, *COPIES])
def test_every_class_keeps_its_message_and_its_hint_apart(
    cls: type[errors.OxenError], duplicate: Callable[[Any], Any]
) -> None:
    error = duplicate(raised(cls, hint="Check the id."))
    assert type(error) is cls
    assert (error.message, error.hint) == ("Not found", "Check the id.")
    assert error.args == ("Not found",)
    assert str(error) == "Not found. Check the id."


@pytest.mark.parametrize("cls", dict.fromkeys(CLASSES))
def test_every_class_needs_no_hint(cls: type[errors.OxenError]) -> None:
    error = raised(cls)
    assert error.hint is None
    assert str(error) == "Not found"


def test_a_new_message_keeps_the_hint_and_a_new_hint_the_message() -> None:
    error = raised(errors.APIConnectionError, hint="Check the network.")
    error.message = "Could not reach Oxen!"
    assert str(error) == "Could not reach Oxen! Check the network."
    error.hint = "Check base_url."
    assert str(error) == "Could not reach Oxen! Check base_url."
    assert isinstance(error.__cause__, ValueError)


def test_langchain_s_error_has_the_same_message_and_hint() -> None:
    error = raised(errors.RateLimitError, hint="Wait.", response=SimpleNamespace(status_code=429))
    translated = langchain_errors.to_langchain(error)
    assert type(translated) is langchain_errors.RateLimitError
    assert (translated.message, translated.hint) == ("Not found", "Wait.")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("What?", "What? Do this."),
        ("So …", "So … Do this."),
        ("Ended. ", "Ended. Do this."),
        ("", "Do this."),
    ],
)
def test_message_and_hint_are_one_line(message: str, text: str) -> None:
    assert str(errors.OxenError(message, hint="Do this.")) == text


# What only a developer can do: call a client's method, pass an argument, set a variable.
ADVICE = re.compile(
    r"client\.\w|\w=\S|\bOXEN_|\b(?:Pass|Set|Leave out|Call|Check) |ChatOxen|pathlib|reconcile"
    r"|resume\(|attach\("
)


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the literal text of every message that an error is made with."""
    names = {cls.__name__ for cls in CLASSES}
    for package in ("oxen_inference",):
        for file in sorted(Path(__file__).parents[2].joinpath(package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name not in {*names, "FetchError"}:
                    continue
                literals = (
                    part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)
                )
                text = "".join(str(part.value) for part in literals)
                yield f"{file.name}:{node.lineno}", text


def test_no_message_holds_advice_for_developers() -> None:
    found = dict(messages())
    assert len(found) > 100
    assert {place: text for place, text in found.items() if ADVICE.search(text)} == {}
