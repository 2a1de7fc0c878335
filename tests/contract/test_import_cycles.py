"""No two modules import each other, directly or by way of others; imports for types count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")


def modules(root: Path) -> dict[str, Path]:
    """Return every module below the packages of `root`, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> dict[str, set[str]]:
    """Return what each module imports, anywhere in its file.

    A name imported from a package counts as an import of the module the package takes it from, so
    that a package's `__init__` neither makes a cycle nor hides one.
    """
    paths = modules(root)
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    named = {name: list(_names(name, path)) for name, path in paths.items()}
    reexported = {
        (package, alias): (source, original)
        for package in packages
        for source, original, alias in named[package]
        if original
    }

    def origin(source: str, name: str) -> str | None:
        if f"{source}.{name}" in paths:
            return f"{source}.{name}"
        for alias in (name, "*"):
            if (source, alias) in reexported:
                return origin(*reexported[source, alias])
        return source if source in paths and source not in packages else None

    graph: dict[str, set[str]] = {}
    for module in paths.keys() - packages:
        targets = {origin(source, name) for source, name, _ in named[module]}
        graph[module] = {target for target in targets if target} - packages - {module}
    return graph


def _names(module: str, path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (source, name, alias) of every import; the name is empty in `import source`."""
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((source, alias.name, alias.asname or alias.name) for alias in node.names)


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules of which each one reaches all others of its group."""
    reached = {module: _reachable(graph, module) for module in graph}
    groups = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }
    return sorted(map(set, groups), key=sorted)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(graph[module])
    return found


def test_there_is_no_cycle() -> None:
    assert cycles(imports(REPOSITORY)) == []


def test_every_way_to_write_an_import_is_read(tmp_path: Path) -> None:
    files = {
        "oxen_inference/__init__.py": "from oxen_inference.parts import Deep\n",
        "oxen_inference/parts/__init__.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .deep import Deep\n"
        ),
        "oxen_inference/parts/deep.py": "from .. import typed\n",
        "oxen_inference/typed.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from oxen_inference.late import late\n"
        ),
        "oxen_inference/late.py": "def late():\n    import oxen_inference.plain as plain\n",
        "oxen_inference/plain.py": "from oxen_inference import Deep\n",
        "oxen_inference/outside.py": "import json\nfrom oxen_inference.plain import Deep\n",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    names = ("late", "parts.deep", "plain", "typed")
    assert cycles(imports(tmp_path)) == [{f"oxen_inference.{name}" for name in names}]
