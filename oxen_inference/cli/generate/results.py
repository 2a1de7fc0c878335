"""The results file of the command `generate`: a line of JSON for each request, as it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Self

from oxen_inference.cli.words import in_commands

if TYPE_CHECKING:
    from oxen_inference.errors import OxenError
    from oxen_inference.result import MediaResult

RowStatus = Literal["made", "failed", "not_sent"]


class ResultsFile:
    """A new results file. Where it cannot be written any more, lines are left out and counted:
    the run goes on, and the same command writes them later. Raises `OSError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out = 0
        self.problem: str | None = None
        self._end = 0
        self._file = path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row, or count it."""
        # A lone surrogate is written out, as JSON may.
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self._end += len(line)
        except OSError as error:
            self.left_out += 1
            self.problem = error.strerror or str(error)
            with suppress(OSError):  # half a line would spoil the next one
                self._file.truncate(self._end)
                self._file.seek(self._end)


def move_away(results: Path) -> None:
    """Give what is there another name, which is free. Raises `OSError`."""
    number = 1
    while (free := results.with_name(f"{results.stem}-{number}{results.suffix}")).exists():
        number += 1
    with suppress(FileNotFoundError):
        results.replace(free)


def row_of(
    index: int,
    request: Mapping[str, Any],
    outcome: MediaResult | OxenError,
    status: RowStatus,
) -> dict[str, Any]:
    """Return what the results file says of one request; the first has the number 1."""
    from oxen_inference.result import MediaResult

    result: MediaResult | None
    if isinstance(outcome, MediaResult):
        result, error = outcome, None
    else:
        result = getattr(outcome, "result", None)
        error = {"type": type(outcome).__name__, "message": in_commands(str(outcome))}
    items = result.items if result else ()
    cost = result.cost if result else None
    return {
        "row": index + 1,
        "status": status,
        "prompt": result.prompt if result else request.get("prompt"),
        "model": result.model if result else request.get("model"),
        "files": [str(i.path or i.saved_url) for i in items if i.path or i.saved_url],
        "generation_ids": list(result.generation_ids) if result else [],
        "seeds": [i.seed for i in items],
        "cost": None if cost is None else f"{cost:f}",
        "key": result.key if result else request.get("key"),
        "entry_id": result.entry_id if result else None,
        "error": error,
    }
