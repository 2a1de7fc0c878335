"""What one installed extra must do, run by its own Python away from the repository.

``python smoke.py EXTRA``, with OXEN_API_KEY and OXEN_BASE_URL of a running sandbox; uses the
standard library and what the extra installs, nothing else.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

_FRAMEWORKS = {"langchain_oxen": "langchain_core", "llama_index_oxen": "llama_index.core"}
_OTHER = {"langchain_oxen": "llama_index", "llama_index_oxen": "langchain"}
_SERVER = ("starlette", "uvicorn", "PIL", "av")
_HOLDS = {
    "core": (),
    "langchain": ("langchain_oxen",),
    "agents": ("langchain_oxen",),
    "llama-index": ("llama_index_oxen",),
    "sandbox": (),
    "all": ("langchain_oxen", "llama_index_oxen"),
}


def main(extra: str) -> None:
    """Check it. Raises AssertionError."""
    core = _every_public_name("oxen_inference", before_use="openai")
    assert "site-packages" in str(core.__file__), "not the installed package"
    for package in ("langchain_oxen", "llama_index_oxen"):
        if package in _HOLDS[extra]:
            _adapter(package, alone=extra != "all")
        else:
            _refuses(package, "oxen-integrations[" + package.split("_oxen")[0].replace("_", "-"))
    if extra in ("sandbox", "all"):
        _serves()
    else:
        assert not any(find_spec(name) for name in _SERVER[:2]), "the server came along"
        _refuses("oxen_sandbox", "oxen-integrations[sandbox]", name="Sandbox")
    _lists_models()
    if extra in ("langchain", "agents", "all"):
        from langchain_oxen import ChatOxen

        assert ChatOxen(model="claude-sonnet-4-6").invoke("Say hello.").text
    if extra in ("agents", "all"):
        from langchain.agents import create_agent

        assert create_agent(ChatOxen(model="claude-sonnet-4-6")).get_graph().nodes
    if extra in ("llama-index", "all"):
        from llama_index_oxen import Oxen

        assert Oxen(model="claude-sonnet-4-6").complete("Say hello.").text


def _every_public_name(package: str, before_use: str) -> ModuleType:
    module = importlib.import_module(package)
    assert before_use not in sys.modules, f"import {package} imports {before_use}"
    for name in module.__all__:
        getattr(module, name)
    return module


def _adapter(package: str, *, alone: bool) -> None:
    assert find_spec(_FRAMEWORKS[package])
    importlib.import_module(package)
    if alone:
        loaded = {name.partition(".")[0] for name in sys.modules}
        assert _OTHER[package] not in loaded, f"{package} imports {_OTHER[package]}"
        assert find_spec(_OTHER[package]) is None, f"{_OTHER[package]} came along"
    module = importlib.import_module(package)
    for name in module.__all__:
        _get_or_hint(module, name)


def _get_or_hint(module: ModuleType, name: str) -> None:
    # The middleware needs more than the smallest extra, and has to say so itself.
    try:
        getattr(module, name)
    except ImportError as error:
        assert "oxen-integrations[agents]" in str(error), error  # noqa: PT017


def _refuses(package: str, hint: str, name: str | None = None) -> None:
    try:
        module = importlib.import_module(package)
        if name is not None:
            getattr(module, name)
    except ImportError as error:
        assert hint in str(error), f"{error} does not name {hint}"  # noqa: PT017
    else:
        raise AssertionError(f"{package} loads without its extra")


def _serves() -> None:
    from oxen_sandbox import Sandbox

    with Sandbox() as sandbox:
        assert sandbox.base_url.endswith("/api/ai")


def _lists_models() -> None:
    from oxen_inference import OxenClient

    with OxenClient() as client:
        assert client.models.list().data


if __name__ == "__main__":
    main(sys.argv[1])
