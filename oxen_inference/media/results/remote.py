"""Folders elsewhere, by URL: S3, Google Cloud Storage, SFTP, and whatever else fsspec knows."""

from __future__ import annotations

import inspect
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from oxen_inference.errors import InvalidInputError
from oxen_inference.masking import MASK

_EXTRA = "pip install 'oxen-integrations[storage]'"
_OF_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "memory"}
# The user and the password of a URL. A password with a "/" in it ends the host, so no store can
# read it, but it is there. What follows the ":" may also be a port, and an ARN is no user.
_LOGIN = re.compile(
    r"://(?!arn:)(?P<user>[^/?#:@\[]*):(?P<password>[^/?#]*|(?!\d*(?:[/?#:]|$))\S*)@"
)
_QUERY_VALUE = re.compile(r"(?P<name>[?&][^=&#/]*=)(?P<value>[^&#/]+)")


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


def shown_url(url: str) -> str:
    """Return a folder's URL without its password, and with the values of its query masked."""
    return _QUERY_VALUE.sub(rf"\g<name>{MASK}", _LOGIN.sub(r"://\g<user>@", url))


class RemoteFolder:
    """A folder by its URL, which is opened when it is first used.

    `url` is the one to show and to store: it holds no secret.
    """

    def __init__(self, url: str) -> None:
        self._address = url.rstrip("/")
        self.url = shown_url(self._address)
        self._secrets = _secrets_in(self._address)
        self._opened: tuple[Any, str] | None = None

    def check(self) -> None:
        """Write a small file and remove it. Raises `InvalidInputError`."""
        said = f"save_to {self.url} cannot be used"
        try:
            files, root = self._open()
            said = f"save_to must be a folder that can be written; {self.url}"
            name = f"{root}/.oxen-{uuid.uuid4().hex}"
            files.pipe_file(name, b"oxen")
            files.rm_file(name)
        except ImportError as error:
            raise InvalidInputError(
                f"To save to {self.url}, a package is missing: {error}.", hint=_EXTRA
            ) from error
        except Exception as error:  # noqa: BLE001 - each store has exceptions of its own
            text, cause = self._told_by(error)
        else:
            return
        raise InvalidInputError(
            f"{said}: {text}.", hint="Check the address, and the credentials in the environment."
        ) from cause

    def put(self, file: Path, name: str) -> str:
        """Store a finished file under a name that is free, and return its URL. Raises `OSError`.

        Stores of objects show it whole or not at all; elsewhere it is moved to its name at the end.
        """
        stem, _, suffix = name.rpartition(".")
        try:
            for number in count():
                free = f"{stem}-{number}.{suffix}" if number else name
                if self._put(file, free):
                    return f"{self.url}/{free}"
        except Exception as error:  # noqa: BLE001 - each store has exceptions of its own
            text, cause = self._told_by(error)
        raise OSError(f"{self.url}: {text}") from cause

    def is_parent_of(self, url: str | None) -> bool:
        """Whether a URL, as `put` returned it, is that of a file in this folder."""
        return url is not None and url.rpartition("/")[0] == self.url

    def has(self, url: str | None) -> bool:
        """Whether a file that was stored in this folder is still there."""
        if url is None or not self.is_parent_of(url):
            return False
        try:
            return self._exists(url.rpartition("/")[2])
        except Exception:  # noqa: BLE001 - then it is stored once more
            return False

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(self._address)
            self._opened = files, str(root).rstrip("/")
        return self._opened

    def _exists(self, name: str) -> bool:
        files, root = self._open()
        files.invalidate_cache(root)  # some stores remember what a folder held
        return bool(files.exists(f"{root}/{name}"))

    def _put(self, file: Path, name: str) -> bool:
        """Store a file under this name; return False if the name is taken."""
        files, root = self._open()
        target = f"{root}/{name}"
        with _only_writer(target) as is_ours:
            if not is_ours or self._exists(name):
                return False
            if _is_of_objects(files) and not _can_create(files):
                files.put_file(str(file), target)
                return True
            try:
                if _is_of_objects(files):
                    files.put_file(str(file), target, mode="create")
                else:
                    _put_and_move(files, str(file), root, target)
            except Exception:
                if self._exists(name):  # another machine took it meanwhile
                    return False
                if not _is_of_objects(files):
                    raise
                files.put_file(str(file), target)  # not every store knows the condition
            return True

    def _told_by(self, error: Exception) -> tuple[str, Exception | None]:
        """Return what an error says without the URL's secrets, and the error if it holds none."""
        text = (str(error) or type(error).__name__).rstrip(".")
        if self._secrets is None:
            return text, error
        return self._secrets.sub(MASK, text), None


_writing: dict[str, object] = {}
"""The names that this process is writing. A name is added in one step, so no lock is needed."""

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_writing.clear)


@contextmanager
def _only_writer(target: str) -> Iterator[bool]:
    """Say whether nobody else in this process writes under a name, and keep it until the end."""
    mine = object()
    is_ours = _writing.setdefault(target, mine) is mine
    try:
        yield is_ours
    finally:
        if is_ours:
            _writing.pop(target, None)


def _is_of_objects(files: Any) -> bool:
    known = files.protocol
    return bool(_OF_OBJECTS & {known, *(() if isinstance(known, str) else known)})


def _can_create(files: Any) -> bool:
    """Whether a store can be told to write a file only under a name that is free."""
    return "mode" in inspect.signature(files.put_file).parameters


def _put_and_move(files: Any, file: str, root: str, target: str) -> None:
    part = f"{root}/.oxen-{uuid.uuid4().hex}.part"
    files.put_file(file, part)
    try:
        files.mv(part, target)
    except Exception:
        files.rm_file(part)
        raise


def _secrets_in(url: str) -> re.Pattern[str] | None:
    """Return what finds the secrets of a URL in a text, or None if it holds none."""
    found = [match["password"] for match in _LOGIN.finditer(url)]
    # A text may say the part of a password that was read as the port.
    found += [re.split("[/?#]", password)[0] for password in found]
    found += [match["value"] for match in _QUERY_VALUE.finditer(url)]
    texts = {text for each in found for text in (each, unquote(each)) if text}
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    words = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None
