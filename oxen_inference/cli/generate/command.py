"""The command `generate`: from one image to a manifest of a hundred thousand, paid for once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate.bought import Bought
from oxen_inference.cli.generate.folder import check_folders
from oxen_inference.cli.generate.money import check_budget, limits_in_the_way, read_budget
from oxen_inference.cli.generate.plan import Plan
from oxen_inference.cli.generate.run import make
from oxen_inference.cli.generate.state import Run, find_run, held, read_run_name, replaced_run
from oxen_inference.cli.generate.summary import NOTHING_SENT, OK
from oxen_inference.cli.models import add_params, read_usd
from oxen_inference.cli.output import print_json, print_line, stderr
from oxen_inference.cli.usage import read_prompt_or_pair
from oxen_inference.media.results.remote import as_path, as_url

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient

_EXAMPLES = """\
examples:
  oxen-inference generate flux-2-dev -p "an ox at dawn" --save-to images
  oxen-inference generate flux-2-dev --from prompts.jsonl --save-to images --budget 5 --yes

Each line of a manifest is a JSON object with prompt, model, num_generations and the model's
parameters, or a text, which is the prompt; in a file whose name ends in .txt each line is a prompt.
The file results.jsonl gets a line for each request as it ends. Run the same command again to go on
with a run, also with a longer manifest: what was paid for is not paid for again.

exit status: 0 all were made; 1 some failed, or were not written down; 2 nothing was sent, or
nothing was accepted: wrong arguments, lines or key, no ledger, not confirmed; 3 the run stopped
early: the budget is used up, or the same failure came ten times in a row; 130 interrupted; 143 ended
by SIGTERM. A dry run has the status that the run would have by its limits: 3 where the budget does
not suffice, 1 or 2 where some or all requests are not sent.
"""


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the command to a parser."""
    generate = add("generate", _generate, "make images, videos or audio; shows the price and asks")
    generate.set_defaults(error_status=NOTHING_SENT)
    generate.formatter_class = argparse.RawDescriptionHelpFormatter
    generate.epilog = _EXAMPLES
    generate.add_argument("model", nargs="?", help="a model's id, for lines that name none")
    add_params(generate, read_prompt_or_pair)
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
    where.add_argument(
        "--results",
        metavar="FILE",
        help="instead of FOLDER/results.jsonl, or ./results.jsonl where that is a URL",
    )
    money = generate.add_argument_group("money")
    money.add_argument(
        "--budget", type=read_budget, metavar="USD|NAME[=USD]", help="for the whole run; with a "
        "name, shared by all that name it in this ledger; a name alone takes it as it is there",
    )  # fmt: skip
    money.add_argument("--max-cost", type=read_usd, metavar="USD", help="for each request")
    money.add_argument("--attempts", type=int, default=1, metavar="N", help="for what failed (1)")
    money.add_argument("-y", "--yes", action="store_true", help="do not ask")
    money.add_argument("--dry-run", action="store_true", help="check and price, send nothing")
    money.add_argument("--allow-unknown-cost", action="store_true")
    how = generate.add_argument_group("how")
    which = how.add_mutually_exclusive_group()
    which.add_argument("--new", action="store_true", help="begin another run; buys all again")
    which.add_argument(
        "--run", type=read_run_name, metavar="NAME", help="the run's name: what was bought under it "
        "in this ledger is not bought again, on any machine and in any folder",
    )  # fmt: skip
    how.add_argument("--timeout", type=float, metavar="SECONDS", help="for each request")
    how.add_argument("--max-in-flight", type=int, default=64, metavar="N")
    how.add_argument("--max-connections", type=int, default=16, metavar="N")


def _generate(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.settings import missing_key

    _take_params(options)
    results = _results_path(options)
    run = find_run(results, options)
    plan = Plan(client, options, Bought(client, run.key_prefix, options.attempts))
    check_budget(client, options)
    check_folders(options.save_to, results)
    obstacles = list(limits_in_the_way(client, options, run, plan))
    notes = [each.text for each in obstacles]
    notes += _notes(client, options, run)
    if (replaced := replaced_run(results, run)) is not None:
        notes.append(f"--run {replaced.run_id} goes on with the run that was here before")
    if options.dry_run:
        status = max((each.status for each in obstacles), default=OK)
        _show_plan(plan, run, notes, status, options, out)
        return status
    if not client.has_key:
        raise missing_key("generate")
    errors = stderr()
    if not options.json:
        print_line(errors, plan)
        for note in notes:
            print_line(errors, f"note: {note}")
    if not options.yes and not _asks(run, plan, options):
        errors.print("nothing was sent; confirm, or pass --yes")
        return NOTHING_SENT
    with held(results, run):
        if not options.new:  # another process may have begun it since
            run = find_run(results, options)
        return make(client, options, plan, run, results, out)


def _take_params(options: argparse.Namespace) -> None:
    """Read what is given as ``name=value`` like the options that it stands for."""
    params, options.params = options.params, []
    if options.model is not None and "=" in options.model:  # with --from it may be left out
        params, options.model = [options.model, *params], None
    for pair in params:
        name, _, value = pair.partition("=")
        if name == "prompt":
            options.prompt.append(value)
        else:
            options.set.append(pair)


def _notes(client: OxenClient, options: argparse.Namespace, run: Run) -> Iterator[str]:
    if run.is_begun and options.name is not None and options.name != run.file_name:
        yield "files that were saved before keep their names"
    if options.dry_run and not client.has_key:
        yield "there is no API key, which a run needs: set OXEN_API_KEY"


def _show_plan(
    plan: Plan, run: Run, notes: list[str], status: int, options: argparse.Namespace, out: Console
) -> None:
    if options.json:
        print_json({
            "run": run.run_id if run.is_begun or options.run else None,
            "requests": plan.count,
            "generations": dict(plan.by_model),
            "already_made": plan.earlier["made"],
            "already_sent": plan.earlier["sent"],
            "failed_before": plan.earlier["failed"],
            "low": f"{plan.low:f}",
            "high": f"{plan.high:f}",
            "unknown": sum(plan.unknown.values()),
            "notes": notes,
            "status": status,
        })  # fmt: skip
    else:
        print_line(out, f"{plan}; nothing was sent")
        for note in notes:
            print_line(stderr(), f"note: {note}")


def _asks(run: Run, plan: Plan, options: argparse.Namespace) -> bool:
    """Ask a person; where there is none, or stdout is for a script, the answer is no."""
    if options.json or options.source == "-" or not sys.stdin.isatty():
        return False
    question = "Go ahead?"
    if plan.earlier["made"] == plan.count:
        question = "Get it again, for free? (--new makes it again)"
    elif run.is_begun:
        question = "Go on with this run? (--new begins another)"
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _results_path(options: argparse.Namespace) -> Path:
    if options.results:
        return Path(options.results).expanduser().absolute()
    folder = Path() if as_url(options.save_to) is not None else as_path(options.save_to)
    return folder.absolute() / "results.jsonl"
