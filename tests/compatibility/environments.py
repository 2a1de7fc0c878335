"""Virtual environments made with uv, for every Python this machine has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parent.parent.parent
ROOM = REPOSITORY / ".matrix"
"""Where the environments are; kept between runs, as uv only changes what differs."""

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_UV = Path(sys.executable).with_name("uv")


def find_python(version: str) -> str | None:
    """A working interpreter of that version: on PATH, or installed with pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = [shutil.which(f"python{version}"), shutil.which("python3"), sys.executable]
    candidates = [*on_path, *sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"))]
    ask = "import sys; print('%d.%d' % sys.version_info[:2], sys._base_executable)"
    for candidate in filter(None, candidates):
        # pyenv's shims exist for versions that are not switched on, and fail.
        done = subprocess.run([candidate, "-c", ask], check=False, capture_output=True, text=True)
        found, _, real = done.stdout.strip().partition(" ")
        if found == version:
            return real
    return None


def lowest(python: str, *also: str) -> list[str]:
    """The lowest versions pyproject.toml allows of what it declares, as ``name==version``.

    Of what those need in turn, uv takes the newest. `also` are requirements to be met.
    """
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(text).name) for part in lists for text in part}
    resolved = _uv(
        "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--python", python,
        "--extra", "all", "--no-header", "--no-annotate", "pyproject.toml", "-",
        given="\n".join(also),
    )  # fmt: skip
    pins = resolved.splitlines()
    return [pin for pin in pins if canonicalize_name(Requirement(pin).name) in declared]


class Environment:
    """One virtual environment in `ROOM`."""

    def __init__(self, name: str, python: str, *, fresh: bool = False) -> None:
        self.folder = ROOM / name
        self.python = self.folder / "bin" / "python"
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        if not self.python.exists():
            _uv("venv", "--quiet", "--python", python, str(self.folder))

    def install(self, *arguments: str) -> None:
        """``uv pip install`` into it. Raises CalledProcessError, uv having said why."""
        _uv("pip", "install", "--quiet", "--python", str(self.python), *arguments)

    def versions(self) -> dict[str, str]:
        """What is installed, by distribution name."""
        command = ("pip", "list", "--quiet", "--format", "json", "--python", str(self.python))
        entries = json.loads(_uv(*command))
        return {canonicalize_name(entry["name"]): entry["version"] for entry in entries}

    def run(
        self, arguments: Sequence[str], cwd: Path, *, timeout: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python, without what the caller's environment says about Python or Oxen.

        Raises TimeoutExpired after `timeout` seconds.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OXEN_", "OPENAI_", "PYTHON", "VIRTUAL_ENV"))
        }
        return subprocess.run(
            [str(self.python), *arguments],
            check=False, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip


def _uv(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [str(_UV), *arguments],
        check=False, cwd=REPOSITORY, capture_output=True, text=True, input=given,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return done.stdout
