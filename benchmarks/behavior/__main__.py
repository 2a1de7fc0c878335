"""What happens to the same conversation in each library: `python -m benchmarks.behavior`.

Runs against the sandbox in the benchmarks' environment and writes
`benchmarks/results/behavior.md`, which `docs/comparison.md` includes. What stands in the table is
read off the answers, the errors and the requests the sandbox received.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from benchmarks.behavior import langchain, llama_index, queue
from oxen_sandbox import Sandbox

PAGE = Path(__file__).parents[1] / "results" / "behavior.md"
PACKAGES = (
    "openai",
    "langchain-core",
    "langchain-openai",
    "langchain-openrouter",
    "llama-index-core",
    "llama-index-llms-openai-like",
    "fal-client",
)


def main() -> None:
    """Ask every library everything, and write the tables."""
    warnings.simplefilter("ignore")
    os.environ["OPENAI_ORG_ID"] = "org-of-another-account"
    today = datetime.now(timezone.utc).date().isoformat()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    parts = [f"Read off on {today} with {versions}."]
    for subject in (langchain, llama_index, queue):
        names = list(subject.CONTESTANTS)
        rows = [f"| {subject.TITLE} | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
        for question, ask in subject.QUESTIONS.items():
            found = [outcome(ask, subject.CONTESTANTS[name]) for name in names]
            rows.append(f"| {question} | {' | '.join(found)} |")
            print(rows[-1], flush=True)
        parts.append("\n".join(rows))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def outcome(ask: Callable[..., str], make: Callable[..., object]) -> str:
    """Return what `ask` found, or the error that kept it from finding it, for a table's cell."""
    with Sandbox() as hub:
        try:
            return ask(hub, lambda **options: make(hub, **options))
        except Exception as error:  # noqa: BLE001 - which error it is, is what is asked
            text = " ".join(str(error).split()).replace(hub.base_url, "…").replace("|", "\\|")
            text = text if len(text) <= 100 else f"{text[:99]}…"
            return f"`{type(error).__name__}`: {text}"


if __name__ == "__main__":
    main()
