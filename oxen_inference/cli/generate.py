"""The command `generate`: from one image to a manifest of a hundred thousand, paid for once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate_plan import BadLinesError, Plan
from oxen_inference.cli.generate_run import Run
from oxen_inference.cli.generate_summary import ALREADY_MADE, BAD_ARGUMENTS, OK
from oxen_inference.cli.models import read_usd
from oxen_inference.cli.output import print_json, print_line, stderr

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient

_EXAMPLES = """\
examples:
  oxen-inference generate flux-2-dev -p "an ox at dawn" --save-to images
  oxen-inference generate flux-2-dev --from prompts.jsonl --save-to images --budget 5 --yes

Each line of a manifest is a JSON object with prompt, model, num_generations and the model's
parameters, or a text, which is the prompt. The file results.jsonl gets a line for each request as it
ends. Run the same command again to go on with a run that was interrupted: what was paid for is
not paid for again.

exit status: 0 all were made; 1 some failed; 2 wrong arguments or lines, or not confirmed, and
nothing was sent; 3 the run stopped early: the budget is used up, or the same failure came ten times
in a row; 130 interrupted.
"""


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the command to a parser."""
    generate = add("generate", _generate, "make images, videos or audio; shows the price and asks")
    generate.formatter_class = argparse.RawDescriptionHelpFormatter
    generate.epilog = _EXAMPLES
    generate.add_argument("model", nargs="?", help="a model's id, for lines that name none")
    what = generate.add_argument_group("what to make")
    what.add_argument("-p", "--prompt", action="append", default=[], help="may be repeated")
    what.add_argument("--from", dest="source", metavar="FILE", help="a manifest; - reads stdin")
    what.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, for all"
    )
    what.add_argument("-n", "--num-generations", type=int, metavar="N", help="results a request")
    where = generate.add_argument_group("where to")
    where.add_argument("--save-to", metavar="FOLDER", default=".", help="a folder or URL (here)")
    where.add_argument(
        "--name", metavar="TEMPLATE", help="file names, such as '{index:05}-{model}-{seed}'; also "
        "{id}, {prompt}, {key} and {number} of a request's results",
    )  # fmt: skip
    where.add_argument("--results", metavar="FILE", help="instead of FOLDER/results.jsonl")
    money = generate.add_argument_group("money")
    money.add_argument("--budget", type=read_usd, metavar="USD", help="for the whole run")
    money.add_argument("--max-cost", type=read_usd, metavar="USD", help="for each request")
    money.add_argument("--attempts", type=int, default=1, metavar="N", help="for what failed (1)")
    money.add_argument("-y", "--yes", action="store_true", help="do not ask")
    money.add_argument("--dry-run", action="store_true", help="check and price, send nothing")
    money.add_argument("--allow-unknown-cost", action="store_true")
    how = generate.add_argument_group("how")
    how.add_argument("--new", action="store_true", help="make everything again")
    how.add_argument("--timeout", type=float, metavar="SECONDS", help="for each request")
    how.add_argument("--max-in-flight", type=int, default=64, metavar="N")
    how.add_argument("--max-connections", type=int, default=16, metavar="N")


def _generate(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    errors = stderr()
    try:
        plan = Plan(client, options)
    except BadLinesError as error:
        errors.print(f"error: {error}")
        return BAD_ARGUMENTS
    run = Run.at(client, _results_path(options), plan, new=options.new)
    shown = f"{plan.models}: {ALREADY_MADE}" if run.is_finished else str(plan)
    if options.dry_run:
        return _show_plan(plan, shown, options, out)
    if not options.json:
        print_line(errors, shown)
    if not options.yes and not _asks(run.question, options):
        errors.print("nothing was sent; confirm, or pass --yes")
        return BAD_ARGUMENTS
    return run.make(client, options, plan, out)


def _show_plan(plan: Plan, shown: str, options: argparse.Namespace, out: Console) -> int:
    if options.json:
        print_json({
            "requests": plan.count,
            "generations": dict(plan.by_model),
            "low": f"{plan.low:f}",
            "high": f"{plan.high:f}",
            "unknown": sum(plan.unknown.values()),
        })  # fmt: skip
    else:
        print_line(out, f"{shown}; nothing was sent")
    return OK


def _asks(question: str, options: argparse.Namespace) -> bool:
    """Ask a person; where there is none, or stdout is for a script, the answer is no."""
    if options.json or options.source == "-" or not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _results_path(options: argparse.Namespace) -> Path:
    if options.results:
        return Path(options.results).expanduser().absolute()
    folder = Path() if "://" in options.save_to else Path(options.save_to).expanduser()
    return folder.absolute() / "results.jsonl"
