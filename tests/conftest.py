"""What every test gets: an environment without keys or settings of the person running it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.databases import postgres_database

# Workers, and the many processes that tests start, read what another one compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No test talks to a server that the system's certificates vouch for, and to read those takes each
# client 20 ms: they are looked for where there are none. Recording on the hub needs them.
if os.environ.get("OXEN_RECORD") != "hub":
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

# The same examples in every run; HYPOTHESIS_PROFILE=random draws others, HYPOTHESIS_EXAMPLES so many.
settings.register_profile(
    "random", deadline=None, max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "100"))
)
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

REPOSITORY = Path(__file__).parent.parent
PUBLISHED = REPOSITORY.parent / "shared" / "contract"
"""Reference material that is not part of the project; tests that read it skip without it."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, base URL, configuration file or ledger of the machine is ever seen by a test."""
    for name in list(os.environ):
        if name.startswith(("OXEN_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(tmp_path / "no-oxen-config"))
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "oxen-state"))


@pytest.fixture(autouse=True)
def own_catalog() -> None:
    """No test sees what another fetched, or a cassette's replay would depend on their order."""
    from oxen_inference.catalog.cache import clear_cache

    clear_cache()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database for these tests alone, on a real PostgreSQL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with postgres_database(f"oxen_{os.getpid()}_{worker}") as url:
        yield url


@pytest.fixture
def published_contract() -> Path:
    """The folder with the published OpenAPI file and the facts of real models."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published contract is not part of the repository")
    return PUBLISHED


@pytest.fixture
def openai_variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Everything the OpenAI SDK would pick up by itself, set to values easy to search for."""
    values = {
        "OPENAI_API_KEY": "sk-for-openai-only",
        "OPENAI_ADMIN_KEY": "sk-admin-for-openai-only",
        "OPENAI_ORG_ID": "org-for-openai-only",
        "OPENAI_PROJECT_ID": "proj-for-openai-only",
        "OPENAI_BASE_URL": "https://openai.invalid/for-openai-only",
        "OPENAI_CUSTOM_HEADERS": "X-For-OpenAI-Only: yes\nAuthorization: Bearer for-openai-only",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values
