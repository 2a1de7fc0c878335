"""Code blocks of Markdown pages and docstrings: found, and run as a reader would run them.

What a page can say in an HTML comment right before a block:

``<!-- not run: reason -->``  the Python block is not executed, for a reason worth reading;
``<!-- output -->``           the text block is what the Python block before it prints
                              (``...`` stands for anything);
``<!-- setup`` … ``-->``      Python of its own that readers do not see, with the `Sandbox` the
                              page runs on as `sandbox`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from sybil.document import Document, PythonDocStringDocument
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from oxen_sandbox import Sandbox
from tests.conftest import REPOSITORY

PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")

_FENCES = RawFencedCodeBlockLexer(re.compile(r"[ \t]*(?P<info>[^\n]*)\n"))
_NOTE = re.compile(
    r"<!--\s*(?P<kind>not run|output)\s*(?::\s*(?P<reason>(?:(?!-->).)*?))?\s*-->\s*\Z", re.DOTALL
)
_SETUP = re.compile(r"^[ \t]*<!--\s*setup\n(?P<source>.*?)-->", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of a page: `line` is where its source starts, counted from 1."""

    path: Path
    line: int
    language: str
    source: str
    note: str | None = None
    reason: str = ""

    @property
    def where(self) -> str:
        return f"{os.path.relpath(self.path, REPOSITORY)}:{self.line}"

    @property
    def is_python(self) -> bool:
        return self.language in ("python", "py")


def documents() -> list[Path]:
    """Every file that may hold snippets: Markdown for readers, modules with docstrings."""
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md*")]
    modules = [module for package in PACKAGES for module in (REPOSITORY / package).rglob("*.py")]
    return sorted(pages) + sorted(modules)


@cache
def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page, or of a module's docstrings, in order, with hidden setups."""
    kind = PythonDocStringDocument if path.suffix == ".py" else Document
    document = kind.parse(str(path), _FENCES)
    found = [
        _block(path, document.text, region.start, region.lexemes["info"], region.lexemes["source"])
        for _, region in document.regions
    ]
    if path.suffix == ".md":
        for match in _SETUP.finditer(document.text):
            line = document.text.count("\n", 0, match.start("source")) + 1
            source = textwrap.dedent(match["source"])
            found.append(Block(path, line, "python", source, note="setup"))
    return sorted(found, key=lambda block: block.line)


def _block(path: Path, text: str, start: int, info: str, source: str) -> Block:
    note = _NOTE.search(text[:start])
    return Block(
        path,
        line=text.count("\n", 0, start) + 2,
        language=(info.split() or [""])[0],
        source=source,
        note=note["kind"] if note else None,
        reason=(note["reason"] or "") if note else "",
    )


class Reader:
    """Someone who types a page's blocks into one file and runs it, `await` included.

    Blocks that define tests are files of their own, which pytest runs together at the end.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.main = ModuleType("__main__")
        self.printed = ""
        self._sandbox, self._folder = sandbox, folder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tests: list[Block] = []

    def read(self, block: Block) -> None:
        if block.note == "not run":
            return
        if block.note == "output":
            self._compare(block)
        elif block.note == "setup":
            self._execute(block, sandbox=self._sandbox)
        elif block.is_python and _defines_tests(block.source):
            self._tests.append(block)
        elif block.is_python:
            self._execute(block)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def _execute(self, block: Block, **hidden: object) -> None:
        # Padded, so that tracebacks point into the page.
        padded = "\n" * (block.line - 1) + block.source
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(padded, str(block.path), "exec", flags=flags, dont_inherit=True)
        names = vars(self.main)
        names.update(hidden)
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                result = eval(code, names)
                if inspect.iscoroutine(result):
                    self._loop = self._loop or asyncio.new_event_loop()
                    self._loop.run_until_complete(result)
        finally:
            self.printed = output.getvalue()
            print(self.printed, end="")
            for name in hidden:
                names.pop(name, None)

    def finish(self) -> None:
        """Run the tests of all blocks that were read. Raises AssertionError with what pytest prints."""
        if not self._tests:
            return
        for number, block in enumerate(self._tests, 1):
            # Padded, so that tracebacks name the lines of the page.
            padded = "\n" * (block.line - 1) + block.source
            (self._folder / f"test_{number}.py").write_text(padded, encoding="utf-8")
        # Loading every plugin that is installed takes seconds; a page needs these two.
        plugins = ("-p", "oxen_sandbox.pytest_plugin", "-p", "pytest_asyncio.plugin")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins, "-o",
                   "asyncio_mode=auto", f"--rootdir={self._folder}", str(self._folder)]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )
        assert done.returncode == 0, f"{self._tests[0].path}\n{done.stdout}\n{done.stderr}"

    def _compare(self, block: Block) -> None:
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(block.source, self.printed, flags)
        assert same, f"{block.where} says\n\n{block.source}\nbut it prints\n\n{self.printed}"


def python_blocks() -> Iterator[Block]:
    """Every visible Python block there is."""
    for path in documents():
        yield from (b for b in blocks(path) if b.is_python and b.note != "setup")


def _defines_tests(source: str) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree = compile(source, "<snippet>", "exec", flags=flags)
    return any(isinstance(node, kinds) and node.name.startswith("test_") for node in tree.body)
