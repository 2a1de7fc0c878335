"""The command line's parser, and its exit statuses."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference._version import __version__
from oxen_inference.cli import doctor, jobs, ledger, models, output, report, usage
from oxen_inference.cli.generate import command as generate
from oxen_inference.cli.words import in_commands

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient

    Command = Callable[[OxenClient, argparse.Namespace, Console], int | None]

OK, FAILED, INTERRUPTED = 0, 1, 130
"""Exit statuses, beside `UNREACHABLE`; argparse's own for wrong arguments is 2, and so is
`generate`'s for all errors.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. What went wrong is printed to stderr."""
    options = usage.parse(_parser(), argv)
    from oxen_inference.client import OxenClient
    from oxen_inference.errors import APIConnectionError, LedgerError, MissingAPIKeyError, OxenError
    from oxen_inference.settings import KEYS_PAGE

    errors = output.stderr()
    command: Command = options.command
    with warnings.catch_warnings(), _logged_to(errors):
        warnings.showwarning = lambda message, *_, **__: errors.print(
            f"warning: {in_commands(str(message))}"
        )
        try:
            with OxenClient(base_url=options.base_url) as client:
                return command(client, options, output.stdout()) or OK
        except MissingAPIKeyError as error:
            errors.print(
                f"error: {error.message} Set the environment variable OXEN_API_KEY, or log in with "
                f"Oxen's own command line; your key is at {KEYS_PAGE}"
            )
            return int(options.error_status)
        except (OxenError, ValueError) as error:
            errors.print(f"error: {in_commands(str(error))}")
            is_unreachable = isinstance(error, APIConnectionError | LedgerError)
            if is_unreachable and options.error_status == FAILED:
                return doctor.UNREACHABLE
            return int(options.error_status)
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            # `… | head` closed the pipe: nothing more can be printed, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK


class _Printer(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(f"warning: {in_commands(record.getMessage())}")


@contextmanager
def _logged_to(console: Console) -> Iterator[None]:
    """Print what is logged in the words of the command line."""
    logger, printer = logging.getLogger("oxen_inference"), _Printer(console)
    logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(printer)


def _program() -> str:
    """Return how this was started, for the help."""
    name = Path(sys.argv[0]).name
    return "python -m oxen_inference" if name == "__main__.py" else "oxen-inference"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(),
        description="Oxen.ai's models, their prices, and what was paid for. "
        "The key is OXEN_API_KEY, or the one Oxen's own command line saved.",
    )
    parser.add_argument("--version", action="version", version=f"oxen-inference {__version__}")
    parser.add_argument("--base-url", help="the API's base URL (or OXEN_BASE_URL)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        added.set_defaults(command=command, parser=added, error_status=FAILED)
        return added

    models.add_commands(add)
    generate.add_commands(add)
    jobs.add_commands(add)
    ledger.add_commands(add)
    doctor.add_commands(add)
    report.add_commands(add)
    return parser
