"""``make smoke``: build a wheel and an sdist, install each extra into an empty environment, use it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.compatibility.environments import PYTHONS, REPOSITORY, Environment, find_python

EXTRAS = ("core", "langchain", "agents", "llama-index", "sandbox", "all")
PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")
SMOKE = Path(__file__).with_name("smoke.py")
_PLUGIN_TEST = "def test_it(oxen_sandbox):\n    assert oxen_sandbox.base_url\n"
_READY = re.compile(r"export (\w+)=(\S+)")


def main() -> int:
    """Check what is in dist/; exit status 1 when anything fails."""
    wheel, sdist = _one("*.whl"), _one("*.tar.gz")
    _same_modules(wheel, sdist)
    python = next(filter(None, map(find_python, reversed(PYTHONS))))
    made = {}
    for extra in EXTRAS:
        made[extra] = Environment(f"smoke-{extra}", python, fresh=True)
        made[extra].install(str(wheel) if extra == "core" else f"{wheel}[{extra}]")
    made["sdist"] = Environment("smoke-sdist", python, fresh=True)
    made["sdist"].install(f"{sdist}[all]")
    with tempfile.TemporaryDirectory() as elsewhere:
        failures = _smoke(made, Path(elsewhere))
    return 1 if failures else 0


def _smoke(made: dict[str, Environment], elsewhere: Path) -> int:
    failures = 0
    command = [str(made["sandbox"].python), "-m", "oxen_sandbox", "--port", "0"]
    with subprocess.Popen(command, cwd=elsewhere, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        variables = dict(
            match.groups() for _ in range(2) if (match := _READY.match(server.stdout.readline()))
        )
        try:
            for name, environment in made.items():
                extra = "all" if name == "sdist" else name
                done = environment.run(["-I", str(SMOKE), extra], elsewhere, **variables)
                failures += done.returncode != 0
                said = done.stderr.strip().splitlines()[-8:]
                print(f"{name:<12}", "\n".join(said) if done.returncode else "works", flush=True)
        finally:
            server.terminate()
    (elsewhere / "test_plugin.py").write_text(_PLUGIN_TEST, encoding="utf-8")
    for name, expected in (("core", "1 skipped"), ("sandbox", "1 passed")):
        made[name].install("pytest")
        done = made[name].run(["-m", "pytest", "-q", "-p", "no:cacheprovider"], elsewhere)
        failures += expected not in done.stdout
        print(f"{name:<12} pytest plugin: {done.stdout.splitlines()[-1]}", flush=True)
    return failures


def _one(pattern: str) -> Path:
    found = list((REPOSITORY / "dist").glob(pattern))
    if len(found) != 1:
        sys.exit(f"dist/ holds {len(found)} files like {pattern}; run `make build`")
    return found[0]


def _same_modules(wheel: Path, sdist: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    wheeled = {name for name in names if name.startswith(tuple(f"{p}/" for p in PACKAGES))}
    assert len(names) - len(wheeled) == sum(".dist-info/" in name for name in names), names
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = wheeled - packed
    assert not missing, f"in the wheel but not in the sdist: {sorted(missing)}"
    for package in PACKAGES:
        assert f"{package}/py.typed" in wheeled, f"{package}/py.typed is not in the wheel"


if __name__ == "__main__":
    sys.exit(main())
