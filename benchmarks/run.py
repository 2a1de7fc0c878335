"""``make bench``: run the suites, keep their figures, and write the page about them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from benchmarks import report
from benchmarks.harness import load_suite, measure, sandbox

HERE = Path(__file__).parent
RESULTS = HERE / "results"
_NO_SUITES = {"__init__", "harness", "report", "run"}


def main() -> None:
    """Run the suites named, or all of them."""
    suites = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in _NO_SUITES)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(suites)}; default all")
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument(
        "--jobs", type=_numbers, metavar="N[,N]", help="how many, where a suite asks"
    )
    parser.add_argument("--dry", action="store_true", help="print figures, write nothing")
    options = parser.parse_args()
    if options.jobs:
        os.environ["OXEN_BENCH_JOBS"] = options.jobs
    for name in options.suites or suites:
        result = run_suite(name, options.rounds)
        if not options.dry:
            RESULTS.mkdir(exist_ok=True)
            text = json.dumps(result, indent=1, ensure_ascii=False)
            (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if not options.dry:
        report.write(RESULTS)


def _numbers(given: str) -> str:
    if not all(each.isdecimal() and int(each) for each in given.split(",")):
        raise argparse.ArgumentTypeError(f"{given!r} is no list of numbers above 0")
    return given


def run_suite(name: str, rounds: int | None = None) -> dict[str, Any]:
    """Measure every case of a suite."""
    suite = load_suite(name)
    cases = []
    print(f"\n{suite.TITLE}", flush=True)
    for case in suite.CASES:
        if rounds:
            case = type(case)(**{**vars(case), "rounds": rounds})  # noqa: PLW2901 - the same case
        # A hub of its own for each case: what one leaves behind slows no other.
        with sandbox(getattr(suite, "SANDBOX", ()), getattr(suite, "REPLIES", ())) as hub:
            cases.append(measure(case, hub))
        print(report.as_text(cases[-1]), flush=True)
    return {
        "suite": name,
        "title": suite.TITLE,
        "about": suite.ABOUT,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "server": "oxen_sandbox, in another process on the same machine",
        "machine": machine(),
        "versions": versions(),
        "cases": cases,
    }


def machine() -> dict[str, Any]:
    """What the figures depend on, as far as it can be asked for."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of the contestants, as pinned and as found installed."""
    pinned = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {Requirement(line).name for line in pinned if line and not line.startswith("#")}
    names |= {"oxen-integrations", "langchain-core", "llama-index-core"}
    installed = {d.metadata["Name"]: d.version for d in distributions()}
    return {name: installed[name] for name in sorted(names & installed.keys())}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
