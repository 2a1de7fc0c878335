"""``make smoke``: install what was built, each extra and each distribution by itself, and use it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.compatibility.environments import PYTHONS, REPOSITORY, Environment, find_python

SMALL = {
    "langchain-oxen": "langchain",
    "langchain-oxen[agents]": "agents",
    "llama-index-llms-oxen": "llama-index",
}
"""The distributions that only depend on this one, and the extra each stands for."""

EXTRAS = ("core", "langchain", "agents", "llama-index", "sandbox", "all")
PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")
SMOKE = Path(__file__).with_name("smoke.py")
_PLUGIN_TEST = "def test_it(oxen_sandbox):\n    assert oxen_sandbox.base_url\n"
_READY = re.compile(r"export (\w+)=(\S+)")


def main() -> int:
    """Check what is in dist/; exit status 1 when anything fails."""
    wheel, sdist = _one("oxen_integrations-*.whl"), _one("oxen_integrations-*.tar.gz")
    _same_modules(wheel, sdist)
    python = next(filter(None, map(find_python, reversed(PYTHONS))))
    made = {}
    for extra in EXTRAS:
        made[extra] = Environment(f"smoke-{extra}", python, fresh=True)
        made[extra].install(str(wheel) if extra == "core" else f"{wheel}[{extra}]")
    made["sdist"] = Environment("smoke-sdist", python, fresh=True)
    made["sdist"].install(f"{sdist}[all]")
    for name in SMALL:
        project, bracket, extra = name.partition("[")
        made[name] = Environment(f"smoke-{project}-{extra}".strip("-]"), python, fresh=True)
        small = _one(f"{project.replace('-', '_')}-*.whl")
        made[name].install("--find-links", str(REPOSITORY / "dist"), f"{small}{bracket}{extra}")
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
                extra = SMALL.get(name, "all" if name == "sdist" else name)
                done = environment.run(["-I", str(SMOKE), extra], elsewhere, **variables)
                failures += done.returncode != 0
                reason = "\n".join(done.stderr.strip().splitlines()[-8:])
                print(f"{name:<22}", reason if done.returncode else "works", flush=True)
            module = "from llama_index.llms.oxen import Oxen; print(Oxen.class_name())"
            done = made["llama-index-llms-oxen"].run(["-I", "-c", module], elsewhere)
            failures += done.returncode != 0
            print(f"{'llama_index.llms.oxen':<22}", done.stderr[-300:] or "works", flush=True)
        finally:
            server.terminate()
    (elsewhere / "test_plugin.py").write_text(_PLUGIN_TEST, encoding="utf-8")
    for name, expected in (("core", "1 skipped"), ("sandbox", "1 passed")):
        made[name].install("pytest")
        done = made[name].run(["-m", "pytest", "-q", "-p", "no:cacheprovider"], elsewhere)
        failures += expected not in done.stdout
        print(f"{name:<22} pytest plugin: {done.stdout.splitlines()[-1]}", flush=True)
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
