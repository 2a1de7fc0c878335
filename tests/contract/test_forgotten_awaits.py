"""mypy, as `make types` runs it, reports an operation that nobody awaits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("post_once(call, lambda: True)", "unused-awaitable"),
        ("pay(call)", "unused-coroutine"),
        ("await pay(call)", None),
    ],
)
def test_a_forgotten_await_is_an_error(line: str, code: str | None, tmp_path: Path) -> None:
    module = tmp_path / "seeded.py"
    module.write_text(
        "from oxen_inference.effects import post_once\n"
        "from oxen_inference.transport import Call\n\n\n"
        "async def pay(call: Call[object]) -> object:\n"
        "    return await post_once(call, lambda: True)\n\n\n"
        "async def work(call: Call[object]) -> None:\n"
        f"    {line}\n"
    )
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if code is None:
        assert mypy.returncode == 0, mypy.stdout
    else:
        assert f"[{code}]" in mypy.stdout
