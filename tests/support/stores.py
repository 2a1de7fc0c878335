"""A store for fsspec in memory that takes a password in its URL, and does on demand what servers do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

fsspec = pytest.importorskip("fsspec", reason="the extra storage is not installed")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402
from fsspec.utils import infer_storage_options  # noqa: E402


class Yard(MemoryFileSystem):  # type: ignore[misc]
    """``yard://user:password@host/folder``; each use of it is a new login, as in another thread."""

    protocol = "yard"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    logins: ClassVar[list[tuple[str | None, str | None]]] = []
    most_logins: ClassVar[int | None] = None
    """Later ones are refused, with all that was sent in the text of the error."""
    on_exists: ClassVar[Callable[[], Any] | None] = None
    """Called after it was looked whether a name is free, before the answer is given."""

    def __init__(self, **options: Any) -> None:
        login = options.get("username"), options.get("password")
        super().__init__()
        if self.most_logins is not None and len(self.logins) >= self.most_logins:
            raise OSError(421, f"Too many connections of {login[0]} with {login[1]}")
        self.logins.append(login)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(infer_storage_options(path)["path"]).rstrip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        options = infer_storage_options(path)
        return {name: options[name] for name in ("username", "password") if name in options}

    def exists(self, path: str, **options: Any) -> bool:
        is_there = bool(super().exists(path, **options))
        if Yard.on_exists is not None:
            Yard.on_exists()
        return is_there


class YardOfObjects(Yard):
    """A store of objects that does not know a condition on writing."""

    protocol = ("yard-of-objects", "r2")

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: Any) -> None:
        if mode != "overwrite":
            raise OSError(78, "A header implies functionality that is not implemented")
        super().put_file(lpath, rpath, **options)


@contextmanager
def empty_yard() -> Iterator[type[Yard]]:
    for kind in (Yard, YardOfObjects):
        name = kind.protocol if isinstance(kind.protocol, str) else kind.protocol[0]
        fsspec.register_implementation(name, kind, clobber=True)
    try:
        yield Yard
    finally:
        Yard.store.clear()
        Yard.logins.clear()
        Yard.pseudo_dirs[:] = [""]
        Yard.most_logins = Yard.on_exists = None
