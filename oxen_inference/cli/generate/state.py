"""Which run a results file belongs to, and which process writes it: two hidden files beside it.

`.results.jsonl.run` names the run; `.results.jsonl.lock` is locked by the process that writes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from oxen_inference.errors import ConfigurationError

_LONGEST_STEM = 40  # characters
_ODD = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the command `generate`.

    `requests` is a digest of what it made when it was last run, `file_name` its template then.
    """

    run_id: str
    is_begun: bool = False
    requests: str | None = None
    file_name: str | None = None

    @property
    def key_prefix(self) -> str:
        """What its keys begin with, and what its own budget is called."""
        return f"run-{self.run_id}"


def read_run_name(text: str) -> str:
    """Read the option --run. Raises `argparse.ArgumentTypeError`."""
    if not re.fullmatch(r"[\w.-]{1,100}", text):
        raise argparse.ArgumentTypeError(
            f"a run's name has letters, digits, '.', '_' and '-', 100 at most: {text!r}"
        )
    return text


def find_run(results: Path, options: argparse.Namespace) -> Run:
    """Return the run that the options name, or that the results file belongs to, or a new one.

    Raises `ConfigurationError` where the file cannot be read: a new run would pay again.
    """
    known = _read(_state_path(results))
    if options.run is not None:
        return known if known is not None and known.run_id == options.run else Run(options.run)
    if known is not None and not options.new:
        return known
    source = options.source
    stem = "prompt" if source is None else "stdin" if source == "-" else Path(source).stem
    stem = _ODD.sub("-", stem)[:_LONGEST_STEM].strip("-") or "run"
    return Run(f"{stem}-{datetime.now(timezone.utc):%Y%m%d}-{uuid.uuid4().hex[:8]}")


def replaced_run(results: Path, run: Run) -> Run | None:
    """Return the run that the results file belongs to, where it is another one."""
    known = _read(_state_path(results))
    return None if known is None or known.run_id == run.run_id else known


def write_run(results: Path, run: Run) -> None:
    """Write which run a results file belongs to, whole or not at all. Raises `OSError`."""
    state = {
        "run": run.run_id,
        "requests": run.requests,
        "file_name": run.file_name,
    }
    path = _state_path(results)
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(state))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def is_unchanged(run: Run, digest: str) -> bool:
    """Whether a run is to make what it made before."""
    return run.is_begun and run.requests == digest


@contextmanager
def held(results: Path, run: Run | None = None) -> Iterator[None]:
    """Keep other processes from writing a results file; its folder is made if needed.

    Raises `ConfigurationError` where another process writes it, or the folder cannot be written.
    """
    from oxen_inference.errors import ConfigurationError

    path = results.with_name(f".{results.name}.lock")
    try:
        results.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise not_writable(results, error, run) from error
    with file:
        try:
            _lock(file)
        except BlockingIOError:
            raise _is_busy(results, path) from None
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be locked: {_reason(error)}. Nothing was sent.",
                hint="Give --results FILE on a disk of this machine.",
            ) from error
        with suppress(OSError):  # a full disk: what matters is the lock
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}".encode())
        yield


def _is_busy(results: Path, lock: Path) -> ConfigurationError:
    from oxen_inference.errors import ConfigurationError

    known = _read(_state_path(results))
    name = "NAME" if known is None else known.run_id
    return ConfigurationError(
        f"{results} is being written by another process{_owner(lock)}. Nothing was sent.",
        hint=f"Wait for it. Or work beside it, with --run {name} and a --results FILE of your own: "
        "what one process bought is free for the other.",
    )


def not_writable(results: Path, error: OSError, run: Run | None) -> ConfigurationError:
    """Return the error for a results file that cannot be written before anything is sent."""
    from oxen_inference.errors import ConfigurationError

    hint = "Give another folder, --save-to FOLDER, or another file, --results FILE."
    if run is not None and run.is_begun:
        hint = f"{hint} With --run {run.run_id} what was bought is free there."
    return ConfigurationError(
        f"{results} cannot be written: {_reason(error)}. Nothing was sent.", hint=hint
    )


def _read(path: Path) -> Run | None:
    from oxen_inference.errors import ConfigurationError

    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return Run(
            run_id=read_run_name(state["run"]),
            is_begun=True,
            requests=state.get("requests"),
            file_name=state.get("file_name"),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, argparse.ArgumentTypeError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "it was damaged"
        raise ConfigurationError(
            f"{path} names the run that goes on here, and cannot be read: {reason}. Nothing was "
            "sent, since another run would pay again.",
            hint="Name the run, --run NAME: its budget and its keys in the ledger begin with "
            "'run-'. Or delete the file, to begin another.",
        ) from error


def _state_path(results: Path) -> Path:
    return results.with_name(f".{results.name}.run")


def _owner(lock: Path) -> str:
    try:
        owner = lock.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
    return f" ({owner})" if owner else ""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _lock(file: IO[bytes]) -> None:
    """Lock a file until it is closed. Raises `BlockingIOError` where another process holds it."""
    if sys.platform == "win32":  # pragma: no cover
        import msvcrt

        file.seek(1 << 30)  # far behind the text, which others may read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
