"""Folders elsewhere, by URL: S3, Google Cloud Storage, SFTP, and whatever else fsspec knows."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from oxen_inference.errors import InvalidInputError

_EXTRA = "pip install 'oxen-integrations[storage]'"


def as_url(save_to: Any) -> str | None:
    """Return `save_to` if it is the URL of a folder elsewhere; None for a folder of this machine."""
    if not isinstance(save_to, str) or "://" not in save_to:
        return None
    return None if save_to.startswith(("file://", "local://")) else save_to


def as_path(save_to: str | os.PathLike[str]) -> Path:
    """Return a folder of this machine, which may be given as a ``file://`` URL."""
    text = os.fspath(save_to)
    for prefix in ("file://", "local://"):
        text = text.removeprefix(prefix)
    return Path(text).expanduser()


class RemoteFolder:
    """A folder by its URL. Raises `InvalidInputError` where fsspec cannot open it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = _open(self.url)

    def check(self) -> None:
        """Write a small file and remove it. Raises `InvalidInputError`."""
        name = f"{self._root}/.oxen-{uuid.uuid4().hex}"
        try:
            self._files.pipe_file(name, b"oxen")
            self._files.rm_file(name)
        except Exception as error:  # each store has exceptions of its own
            raise InvalidInputError(
                f"save_to must be a folder that can be written; {self.url}: {_text(error)}.",
                hint="Check the address, and the credentials in the environment.",
            ) from error

    def put(self, file: Path, name: str) -> str:
        """Store a finished file under a name that is free, and return its URL. Raises `OSError`.

        Stores of objects show it whole or not at all; elsewhere it is moved to its name at the end.
        """
        stem, _, suffix = name.rpartition(".")
        number = 0
        try:
            while self._files.exists(f"{self._root}/{name}"):
                number += 1
                name = f"{stem}-{number}.{suffix}"
            target = f"{self._root}/{name}"
            if self._is_of_objects:
                self._files.put_file(str(file), target)
            else:
                part = f"{self._root}/.oxen-{uuid.uuid4().hex}.part"
                self._files.put_file(str(file), part)
                self._files.mv(part, target)
        except OSError:
            raise
        except Exception as error:  # each store has exceptions of its own
            raise OSError(f"{self.url}: {_text(error)}") from error
        return f"{self.url}/{name}"

    def has(self, url: str | None) -> bool:
        """Whether a file that was stored in this folder is still there."""
        if url is None or url.rpartition("/")[0] != self.url:
            return False
        try:
            return bool(self._files.exists(f"{self._root}/{url.rpartition('/')[2]}"))
        except Exception:  # noqa: BLE001 - then it is stored once more
            return False

    @property
    def _is_of_objects(self) -> bool:
        known = self._files.protocol
        return bool(_OF_OBJECTS & {known, *(() if isinstance(known, str) else known)})


_OF_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "memory"}


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            f"To save to {url}, fsspec has to be installed.", hint=_EXTRA
        ) from error
    try:
        files, root = url_to_fs(url)
    except ImportError as error:
        raise InvalidInputError(
            f"To save to {url}, a package is missing: {error}.", hint=_EXTRA
        ) from error
    except Exception as error:  # each store has exceptions of its own
        raise InvalidInputError(f"save_to {url} cannot be used: {_text(error)}.") from error
    return files, str(root).rstrip("/")


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
