"""``make test-matrix``: the tests, on every Python, both openai majors, lowest and newest.

"Lowest" installs every dependency pyproject.toml declares in the lowest version it allows.
"Beside peers" also holds langchain-openai and llama-index-llms-openai. What became of a row is kept
until it is run again, so that the page can be made of rows run one after another.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from tests.compatibility.environments import (
    PYTHONS,
    REPOSITORY,
    ROOM,
    Environment,
    find_python,
    lowest,
)

PAGE = REPOSITORY / "docs" / "compatibility.md"
_SHOWN = ("openai", "langchain-core", "llama-index-core", "pydantic")
_PATIENCE = 1200
_HEAD = """\
# Compatibility

<!-- Written by `make test-matrix`; edit tests/compatibility/matrix.py instead. -->

`{command}` installs the distribution with all its extras in an environment for each row and runs
{tests} there. *Lowest* is the lowest version `pyproject.toml` allows of every
declared dependency, *newest* the newest the package index has; *beside peers* adds
`langchain-openai` and `llama-index-llms-openai` to the same environment. `ROWS=py3.10` runs those
rows only; the others stay as they were. *Commit* is what was tested.
"""


@dataclass(frozen=True)
class Row:
    """One environment to be tested."""

    python: str
    openai: int
    kind: str

    @property
    def name(self) -> str:
        return f"py{self.python}-openai{self.openai}-{self.kind.replace(' ', '-')}"

    def environment(self, interpreter: str) -> Environment:
        """Make it. Raises CalledProcessError where uv finds no solution."""
        made = Environment(self.name, interpreter, fresh=True)
        project = ("--editable", f"{REPOSITORY}[all]", f"openai>={self.openai},<{self.openai + 1}")
        if self.kind == "lowest":
            # The test tools have to do with what is declared, not the other way round.
            constraints = made.folder / "constraints.txt"
            constraints.write_text("\n".join(lowest(interpreter, project[-1])), encoding="utf-8")
            project = (*project, "--constraint", str(constraints))
        beside = ("langchain-openai", "llama-index-llms-openai")
        group = "test" if self.kind == "lowest" else "dev"
        made.install("--group", group, *project, *(beside if self.kind == "beside peers" else ()))
        return made


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    row: Row
    result: str
    passed: bool
    versions: dict[str, str]
    tests: list[str]
    commit: str
    day: str

    @property
    def cells(self) -> list[str]:
        shown = [self.versions.get(name, "-") for name in _SHOWN]
        return [self.row.python, self.row.kind, *shown, self.result, self.commit]

    def keep(self) -> None:
        _kept(self.row).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def _kept(row: Row) -> Path:
    return ROOM / f"{row.name}.json"


def kept(row: Row) -> Outcome | None:
    """What became of the row when it was last run, if it ever was."""
    if not _kept(row).exists():
        return None
    fields = json.loads(_kept(row).read_text(encoding="utf-8"))
    return Outcome(**{**fields, "row": row})


def rows() -> Iterator[Row]:
    """Every row, oldest Python first."""
    for python, openai, kind in itertools.product(PYTHONS, (2, 3), ("lowest", "newest")):
        yield Row(python, openai, kind)
    # openai 2 only: llama-index-llms-openai does not accept 3 yet.
    yield Row("3.12", 2, "beside peers")


def run(row: Row, tests: list[str]) -> Outcome:
    """Make the row's environment, test in it, and keep what became of it."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False, cwd=REPOSITORY, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    result, passed, versions = _tested(row, tests)
    today = datetime.now(timezone.utc).date().isoformat()
    outcome = Outcome(row, result, passed, versions, tests, commit or "unknown", today)
    outcome.keep()
    return outcome


def _tested(row: Row, tests: list[str]) -> tuple[str, bool, dict[str, str]]:
    interpreter = find_python(row.python)
    if interpreter is None:
        return f"skipped: no Python {row.python} here", True, {}
    try:
        environment = row.environment(interpreter)
    except subprocess.CalledProcessError:
        return "not installable", False, {}
    report = environment.folder / "report.xml"
    command = ["-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    try:
        done = environment.run(
            [*command, f"--junitxml={report}", *tests], REPOSITORY, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"hung: not done in {_PATIENCE} s", False, environment.versions()
    (environment.folder / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    versions = environment.versions()
    if done.returncode not in (0, 1) or not report.exists():
        return f"did not run: {environment.folder}/output.txt", False, versions
    return _counts(report), done.returncode == 0, versions


def _counts(report: Path) -> str:
    suites = ET.parse(report).getroot().iter("testsuite")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    words = [f"{passed} passed", f"{failed} failed" if failed else ""]
    words.append(f"{counts['skipped']} skipped" if counts["skipped"] else "")
    return ", ".join(filter(None, words))


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    lines = [["Python", "dependencies", *_SHOWN, "tests", "commit"], ["---"] * (len(_SHOWN) + 4)]
    lines += [outcome.cells for outcome in outcomes]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page(outcomes: list[Outcome]) -> str:
    """The page about all rows, which says what was tested in them."""
    tests = outcomes[0].tests
    given = f' TESTS="{" ".join(tests)}"' if tests else ""
    head = _HEAD.format(
        command=f"make test-matrix{given}",
        tests="a part of the test suite" if tests else "the whole test suite",
    )
    days = [outcome.day for outcome in outcomes]
    run_on = " to ".join(sorted({min(days), max(days)}))
    return f"{head}\n{table(outcomes)}\n\nRun on {run_on}.\n"


def main() -> int:
    """Test the rows chosen; write the page when all rows have been, with the same tests."""
    parser = argparse.ArgumentParser(prog="make test-matrix")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("tests", nargs="*", help="what to give to pytest; default all tests")
    parser.add_argument("--jobs", type=int, default=1, help="rows to test side by side")
    options = parser.parse_args()
    ROOM.mkdir(exist_ok=True)

    def tested(row: Row) -> Outcome:
        start = time.monotonic()
        outcome = run(row, options.tests)
        print(f"{row.name}: {outcome.result}, {time.monotonic() - start:.0f} s", flush=True)
        return outcome

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(tested, (row for row in rows() if options.only in row.name)))
    print(f"\n{table(outcomes)}")
    known = [kept(row) for row in rows()]
    same = [outcome for outcome in known if outcome and outcome.tests == options.tests]
    if len(same) == len(known):
        PAGE.write_text(page(same), encoding="utf-8")
    else:
        print(f"docs/compatibility.md waits for {len(known) - len(same)} more rows")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
