from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from langchain_oxen import (
    ChatOxen,
    OxenFindModelsTool,
    OxenMediaTool,
    OxenModelLoader,
    OxenToolkit,
)
from llama_index_oxen import Oxen, OxenModelReader, OxenToolSpec
from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.errors import ConfigurationError, MissingAPIKeyError
from oxen_inference.settings import (
    OxenKeyWarning,
    async_key_from_function,
    key_from_function,
    resolve_api_key,
    resolve_base_url,
)

HUB = "https://hub.oxen.ai/api/ai"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, HUB),
        ("https://hub.oxen.ai/api/ai/", HUB),
        ("https://hub.oxen.ai", HUB),
        ("hub.oxen.ai", HUB),
        ("HTTPS://hub.oxen.ai/api/ai", HUB),
        ("https://hub.oxen.ai/api", "https://hub.oxen.ai/api"),
        ("localhost:3000", "http://localhost:3000/api/ai"),
        ("[::1]:3000", "http://[::1]:3000/api/ai"),
        ("oxen.example:8080", "http://oxen.example:8080/api/ai"),
        ("oxen.example:443", "https://oxen.example:443/api/ai"),
        ("oxen.example", "https://oxen.example/api/ai"),
        ("http://gateway.example/v1/", "http://gateway.example/v1"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_a_base_url_may_be_written_in_several_ways(given: str | None, expected: str) -> None:
    assert resolve_base_url(given) == expected


def test_base_url_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_HOST", "http://from-host.example:8080")
    assert resolve_base_url() == "http://from-host.example:8080/api/ai"
    monkeypatch.setenv("OXEN_BASE_URL", "https://from-url.example/x")
    assert resolve_base_url() == "https://from-url.example/x"
    assert resolve_base_url("https://argument.example/y") == "https://argument.example/y"


@pytest.mark.parametrize(
    "given",
    [
        "ftp://x",
        "ftp:/x",
        "https:/hub.oxen.ai",
        "http://",
        "hub .x",
        "http://x:port",
        "https://x/?a=1",
        "https://x/#a",
        "http://[::1",
        "[::1",
        "/api/ai",
    ],
)
def test_an_unusable_base_url_is_named_in_one_sentence(given: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url is not a usable base URL") as caught:
        resolve_base_url(given)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_credentials_in_a_base_url_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        resolve_base_url("https://user:hunter2@hub.oxen.ai/api/ai")
    assert "hunter2" not in str(caught.value)


def test_a_missing_key_names_both_remedies(openai_variables: dict[str, str]) -> None:
    with pytest.raises(MissingAPIKeyError, match=r"OXEN_API_KEY.*api_key=") as caught:
        resolve_api_key(None, base_url=HUB)
    assert "sk-for-openai-only" not in str(caught.value)


def test_key_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "auth_config.toml").write_text(
        '[[host_configs]]\nhost = "hub.oxen.ai"\nauth_token = "from-file"\n'
        '[[host_configs]]\nhost = "localhost:3000"\nauth_token = "from-local"\n'
    )
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(tmp_path))
    assert resolve_api_key(None, base_url=HUB) == "from-file"
    assert resolve_api_key(None, base_url="http://localhost:3000/api/ai") == "from-local"
    with pytest.raises(MissingAPIKeyError):
        resolve_api_key(None, base_url="http://localhost:3001/api/ai")
    monkeypatch.setenv("OXEN_API_KEY", "from-env\n")
    assert resolve_api_key(None, base_url=HUB) == "from-env"
    assert resolve_api_key("argument", base_url=HUB) == "argument"


def test_an_invalid_config_file_is_named_and_its_content_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "auth_config.toml").write_text('auth_token = "sk-secret\n')
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"auth_config\.toml") as caught:
        resolve_api_key(None, base_url=HUB)
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["two words", "smart’quote", "line\nbreak"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_api_key(key, base_url=HUB)
    assert key not in str(caught.value)


def test_a_key_from_the_environment_for_another_host_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "k")
    with pytest.warns(OxenKeyWarning, match="gateway.example"):
        resolve_api_key(None, base_url="https://gateway.example/api/ai")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_api_key(None, base_url=HUB)
        resolve_api_key(None, base_url="http://127.0.0.1:1/api/ai")
        resolve_api_key("explicit", base_url="https://gateway.example/api/ai")


@pytest.mark.parametrize("host", ["hub.example:port", "hub.example:99999"])
def test_a_host_with_an_invalid_port_is_named_as_it_was_given(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXEN_HOST", host)
    with pytest.raises(ConfigurationError, match=host):
        resolve_base_url()


def test_blank_keys_of_the_environment_and_blank_tokens_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "https://hub.oxen.ai/api/ai"
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(tmp_path))
    (tmp_path / "auth_config.toml").write_text(
        '[[host_configs]]\nhost = "hub.oxen.ai"\nauth_token = " "\n'
        '[[host_configs]]\nhost = "hub.oxen.ai"\nauth_token = "SFMy"\n'
    )
    monkeypatch.setenv("OXEN_API_KEY", "  ")
    assert resolve_api_key(None, base_url=url) == "SFMy"


KEY = "sk-oxen-0123456789"


@pytest.mark.parametrize("answer", [KEY, f"{KEY}\n", f" {KEY}\r\n", SecretStr(f"{KEY}\n")])
async def test_the_answer_of_a_key_function_is_stripped(answer: Any) -> None:
    async def get_key() -> Any:
        return answer

    assert key_from_function(lambda: answer) == KEY
    assert await async_key_from_function(lambda: answer) == KEY
    assert await async_key_from_function(get_key) == KEY


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (None, MissingAPIKeyError, "returned no key"),
        (" \n", MissingAPIKeyError, "returned no key"),
        (KEY.encode(), ConfigurationError, "must be a string, not bytes"),
        (f"{KEY}\n{KEY}", ConfigurationError, "characters that no key has"),
        (f"{KEY}’", ConfigurationError, "characters that no key has"),
        (f"{KEY} {KEY}", ConfigurationError, "characters that no key has"),
        (ValueError("no vault"), ConfigurationError, "failed: ValueError: no vault"),
        (FileNotFoundError(2, "No such file"), ConfigurationError, "failed: FileNotFoundError"),
    ],
)
async def test_an_invalid_answer_of_a_key_function_is_refused_and_not_shown(
    answer: Any, error: type[Exception], message: str
) -> None:
    def get_key() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def get_key_async() -> Any:
        return get_key()

    with pytest.raises(error, match=message) as caught:
        key_from_function(get_key)
    assert KEY not in str(caught.value)
    for function in (get_key, get_key_async):
        with pytest.raises(error, match=message) as caught:
            await async_key_from_function(function)
        assert KEY not in str(caught.value)


def test_an_asynchronous_key_function_is_refused_where_nothing_can_await_it() -> None:
    async def get_key() -> str:
        return KEY

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match="must be a string, not coroutine"):
            key_from_function(get_key)


@pytest.mark.parametrize("key", [b"sk-oxen", 7, ["sk-oxen"]])
def test_a_key_that_is_no_string_is_refused(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a string"):
        resolve_api_key(key, base_url=HUB)


_MODEL = "claude-sonnet-4-6"
_GIVEN_A_KEY: dict[str, Callable[[Any], Any]] = {
    "ChatOxen": lambda key: ChatOxen(model=_MODEL, api_key=key),
    "ChatOxen under another name": lambda key: ChatOxen(model=_MODEL, oxen_api_key=key),
    "OxenMediaTool": lambda key: OxenMediaTool.for_model("flux-2-dev", api_key=key),
    "OxenMediaTool, async": lambda key: asyncio.run(
        OxenMediaTool.afor_model("flux-2-dev", api_key=key)
    ),
    "OxenToolkit": lambda key: OxenToolkit(models=["flux-2-dev"], api_key=key).get_tools(),
    "OxenFindModelsTool": lambda key: OxenFindModelsTool(api_key=key).invoke({}),
    "OxenModelLoader": lambda key: OxenModelLoader(api_key=key).load(),
    "Oxen": lambda key: Oxen(_MODEL, api_key=key),
    "OxenToolSpec": lambda key: OxenToolSpec("flux-2-dev", api_key=key),
    "OxenModelReader": lambda key: OxenModelReader(api_key=key).load_data(),
    "OxenClient": lambda key: OxenClient(api_key=key),
    "AsyncOxenClient": lambda key: AsyncOxenClient(api_key=key),
    "a client's copy": lambda key: OxenClient().with_options(api_key=key),
}


@pytest.mark.parametrize("key", ["", " \n", SecretStr("")], ids=["empty", "spaces", "secret"])
@pytest.mark.parametrize("make", _GIVEN_A_KEY.values(), ids=_GIVEN_A_KEY)
def test_an_empty_key_is_refused_and_the_environments_is_not_used(
    make: Callable[[Any], Any], key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "of-another-account")
    with pytest.raises(MissingAPIKeyError, match=r"api_key is empty.*leave api_key out"):
        make(key)  # a request would fail otherwise: there are no sockets here


def test_a_copy_of_a_client_without_a_key_has_none() -> None:
    keyless = OxenClient().with_options(max_retries=0)
    assert not keyless.has_key
