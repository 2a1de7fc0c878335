"""Arguments that a command does not know: read as its parameters, or refused with what to write."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Sequence

_PAIR = re.compile(r"[A-Za-z_][\w.-]*=", re.ASCII)
_PLACE_OF_RESULTS = frozenset({"-o", "--out", "--output", "--output-dir"})


def read_pair(text: str) -> str:
    """Check one ``name=value``. Raises `argparse.ArgumentTypeError`."""
    if _PAIR.match(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not name=value; a prompt is given as {shlex.quote(f'prompt={text}')}"
    )


def read_prompt_or_pair(text: str) -> str:
    """Check one ``name=value`` where there is an option for prompts."""
    if _PAIR.match(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not name=value; a prompt goes after -p: -p {shlex.quote(text)}"
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command. What it does not know ends the program, with the usage of that command.

    A command's defaults say which `parser` it has, how it reads its `params`, where it has any
    (argparse takes only those that stand together), and what stands `for_words`.
    """
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        _take(unknown, parser, options)
    return options


def _take(
    unknown: Sequence[str], parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
    """Add the model's parameters to the others, and refuse anything else."""
    command: argparse.ArgumentParser = options.parser
    option = next((each for each in unknown if each.startswith("-")), None)
    if option is not None:
        hint = _instead(option, unknown, parser, options)
    elif "params" in options:
        try:
            options.params += map(options.read_param, unknown)
        except argparse.ArgumentTypeError as error:
            command.error(str(error))
        return
    else:
        hint = getattr(options, "for_words", "").format(shlex.quote(" ".join(unknown)))
    hint = hint or f"`{command.prog} --help` lists what it takes"
    command.error(f"unrecognized arguments: {shlex.join(unknown)}; {hint}")


def _instead(
    option: str,
    unknown: Sequence[str],
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
) -> str:
    """Say what to write instead of an option that the command does not have."""
    name, is_joined, value = option.partition("=")
    known = options.parser._option_string_actions
    if name in known:
        return f"{name} goes after the command"
    if name in parser._option_string_actions:
        return f"{name} goes before the command"
    if "model" in options and name in ("-m", "--model"):
        return f"the model needs no option: {options.parser.prog} MODEL"
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
        return f"did you mean {close[0]}?"
    if "--save-to" in known and name in _PLACE_OF_RESULTS:
        return "results go to --save-to FOLDER"
    if "--set" not in known:
        return ""
    following = unknown[unknown.index(option) + 1 :]
    if not is_joined and following and not following[0].startswith("-"):
        value = following[0]
    field = "prompt" if name == "-p" else name.lstrip("-").replace("-", "_")
    pair = shlex.quote(f"{field}={value or 'VALUE'}")
    return f"a parameter of the model is --set {pair}"
