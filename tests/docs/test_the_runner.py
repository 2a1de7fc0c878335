"""The snippet runner itself: what it finds, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from oxen_sandbox import Sandbox
from tests.docs.snippets import Block, Reader, blocks

PAGE = """
```python title="one.py"
name = "ox"
print(f"an {name} at dawn")
```

<!-- output -->
```text
an ox at ...
```

=== "In a tab"

    ```python
    import asyncio

    await asyncio.sleep(0)
    name += "en"
    ```

<!-- not run: it would pay for a video -->

```python
raise SystemExit
```

<!-- setup
seen = sandbox.base_url
-->

```bash
pip install something
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def reader(folder: Path) -> Reader:
    return Reader(Sandbox(), folder)


def test_finds_every_block_where_it_is(page: Path) -> None:
    found = [(b.line, b.language, b.note, b.reason) for b in blocks(page)]
    assert found == [
        (3, "python", None, ""),
        (9, "text", "output", ""),
        (15, "python", None, ""),
        (24, "python", "not run", "it would pay for a video"),
        (28, "python", "setup", ""),
        (32, "bash", None, ""),
    ]


def test_runs_a_page_in_one_namespace(page: Path, tmp_path: Path) -> None:
    someone = reader(tmp_path)
    for block in blocks(page):
        someone.read(block)
    assert someone.main.name == "oxen"
    assert someone.main.seen.endswith("/api/ai")
    assert not hasattr(someone.main, "sandbox")


@pytest.mark.parametrize("claim", ["a cow", "an ox\nand more"])
def test_a_wrong_output_fails(tmp_path: Path, claim: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        f"```python\nprint('an ox')\n```\n<!-- output -->\n```text\n{claim}\n```\n", "utf-8"
    )
    someone = reader(tmp_path)
    first, output = blocks(path)
    someone.read(first)
    with pytest.raises(AssertionError, match="but it prints"):
        someone.read(output)


def test_a_failing_snippet_fails(tmp_path: Path) -> None:
    someone = reader(tmp_path)
    with pytest.raises(ZeroDivisionError):
        someone.read(Block(tmp_path, 1, "python", "1 / 0"))


def test_tests_in_a_page_are_run_by_pytest(tmp_path: Path) -> None:
    someone = reader(tmp_path)
    for test in ("assert oxen_sandbox.jobs == []", "assert oxen_sandbox.jobs"):
        source = f"def test_draws(oxen_sandbox):\n    {test}\n"
        someone.read(Block(tmp_path, 1, "python", source))
    with pytest.raises(AssertionError, match="1 failed, 1 passed"):
        someone.finish()


def test_finds_snippets_of_docstrings(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'def f():\n    """Draw.\n\n    ```python\n    f()\n    ```\n    """\n', encoding="utf-8"
    )
    assert [(b.language, b.source, b.line) for b in blocks(module)] == [("python", "f()\n", 5)]
