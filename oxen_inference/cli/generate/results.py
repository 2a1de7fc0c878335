"""The results file of the command `generate`: a line of JSON for each request, as it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Self

from oxen_inference.cli.words import in_commands

if TYPE_CHECKING:
    from oxen_inference.errors import OxenError
    from oxen_inference.result import MediaResult

log = logging.getLogger("oxen_inference.cli")

RowStatus = Literal["made", "partial", "failed", "not_sent"]


class ResultsFile:
    """A results file, which is emptied unless it `goes_on`: then its rows stay, and those that are
    added replace theirs at the end. A run that is killed before leaves both, the right one last.

    Where it cannot be written any more, lines are left out and counted: the run goes on, and the
    same command writes them later. Raises `OSError`; `ValueError` where it `goes_on` and cannot be
    read.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self.path = path
        self.left_out = 0
        self.problem: str | None = None
        self._is_repeated = False
        self._earlier: dict[int, int] = {}
        """The hash of each row's line, by its number."""
        if goes_on and path.is_file():
            self._end = count = 0
            for row, line in _read_lines(path):
                self._earlier[row["row"]] = hash(line)
                self._end += len(line)
                count += 1
            self._is_repeated = count > len(self._earlier)
            self._file = path.open("r+b", buffering=0)
            self._file.truncate(self._end)  # half a line of a process that was killed
            self._file.seek(self._end)
        else:
            self._file = path.open("wb", buffering=0)
            self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()
        if self._is_repeated:
            try:
                _keep_last(self.path)
            except OSError as error:  # both are there, the right one last
                log.warning("%s has some rows twice: %s", self.path, error.strerror or error)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row unless it is there, or count it."""
        # A lone surrogate is written out, as JSON may.
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        earlier = self._earlier.get(row["row"])
        if earlier == hash(line):
            return
        self._is_repeated |= earlier is not None
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


def _read_lines(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each whole line with its row, which has a number. Raises `ValueError` for any other
    content.
    """
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            row = json.loads(line)
            if not (isinstance(row, dict) and isinstance(row.get("row"), int)):
                raise ValueError(f"{path} has other lines than those of a run")  # noqa: TRY004
            yield row, line


def _keep_last(path: Path) -> None:
    """Keep one line for each row: the last, but none that knows of no entry after one that does."""
    path = path.resolve()
    kept: dict[int, int] = {}
    entries: set[int] = set()
    for place, (row, _) in enumerate(_read_lines(path)):
        number, has_entry = row["row"], row.get("entry_id") is not None
        if has_entry or number not in entries:
            kept[number] = place
        if has_entry:
            entries.add(number)
    places = set(kept.values())
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.writelines(
            line for place, (_, line) in enumerate(_read_lines(path)) if place in places
        )
    temporary.replace(path)


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
    """Return what the results file says of one request; the first has the number 1.

    Its files, generation ids and seeds are in the same order, and those of what was made alone if
    anything was made. What could not be saved comes last, since it has no file.
    """
    from oxen_inference.result import MediaResult

    result: MediaResult | None
    error: OxenError | None
    if isinstance(outcome, MediaResult):
        result, error = outcome, partial_failure(outcome)
    else:
        result, error = getattr(outcome, "result", None), outcome
    items = sorted(
        (result.succeeded or result.items) if result else (),
        key=lambda item: not (item.path or item.saved_url),
    )
    cost = result.cost if result else None
    return {
        "row": index + 1,
        "status": status,
        "prompt": result.prompt if result else request.get("prompt"),
        "model": result.model if result else request.get("model"),
        "files": [str(i.path or i.saved_url) for i in items if i.path or i.saved_url],
        "generation_ids": [i.generation_id for i in items],
        "seeds": [i.seed for i in items],
        "cost": None if cost is None else f"{cost:f}",
        "key": result.key if result else request.get("key"),
        "entry_id": result.entry_id if result else None,
        "error": None
        if error is None
        else {"type": type(error).__name__, "message": in_commands(str(error))},
    }


def partial_failure(result: MediaResult) -> OxenError | None:
    """Return the error of what failed in a request that made something."""
    from oxen_inference.errors import MediaError

    failures = result.failures
    if not failures:
        return None
    reasons = dict.fromkeys(item.error or f"it was {item.status}" for item in failures)
    return MediaError(
        f"{len(failures)} of {len(result.items)} generations failed: {'; '.join(reasons)}",
        result=result,
    )
