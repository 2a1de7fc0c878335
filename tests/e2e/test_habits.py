"""What people who live in LangChain and LlamaIndex write without looking it up."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from llama_index.core.vector_stores import VectorStoreInfo

import langchain_oxen.errors
from langchain_oxen import ChatOxen, register
from llama_index_oxen import Oxen, OxenModelReader, OxenToolSpec
from llama_index_oxen.events import OxenSpendingDecision
from oxen_inference import AsyncOxenClient, ConfigurationError, InvalidInputError, OxenClient
from oxen_sandbox import Sandbox

MODEL = "claude-sonnet-4-6"
SYNC_HTTP, ASYNC_HTTP = openai.DefaultHttpxClient(), openai.DefaultAsyncHttpxClient()


def sent_models(hub: Sandbox) -> list[str]:
    return [r.json["model"] for r in hub.requests if r.path.endswith("/chat/completions")]


def test_a_model_is_configured_by_another_name(oxen_sandbox_env: Sandbox) -> None:
    model = ChatOxen(model=MODEL).configurable_fields(
        model_name=ConfigurableField(id="model"), temperature=ConfigurableField(id="heat")
    )
    model.invoke("hi", {"configurable": {"model": "gpt-4o", "heat": 0.5}})
    assert sent_models(oxen_sandbox_env) == ["gpt-4o"]
    with pytest.raises(ValueError, match="legs"):
        ChatOxen(model=MODEL).configurable_fields(legs=ConfigurableField(id="legs"))


def test_results_have_an_llm_output(oxen_sandbox_env: Sandbox) -> None:
    model = ChatOxen(model=MODEL)
    result = model.generate([[HumanMessage("hi")], [HumanMessage("hello there")]])
    assert result.llm_output is not None
    assert result.llm_output["model_name"] == MODEL
    usages: Any = [batch[0].message.usage_metadata for batch in result.generations]  # type: ignore[union-attr]
    total = sum(usage["total_tokens"] for usage in usages)
    assert result.llm_output["token_usage"]["total_tokens"] == total
    assert model.invoke("hi").response_metadata["token_usage"]["total_tokens"] > 0


def test_traces_name_the_version(oxen_sandbox_env: Sandbox) -> None:
    from oxen_inference import __version__

    metadata = ChatOxen(model=MODEL).metadata or {}
    assert metadata["lc_versions"]["oxen-integrations"] == __version__
    assert "langchain-core" in metadata["lc_versions"]


def test_a_registered_provider_is_found_by_its_name(oxen_sandbox_env: Sandbox) -> None:
    register()
    register()
    model = init_chat_model(f"oxen:{MODEL}", temperature=0.1)
    assert isinstance(model, ChatOxen)
    assert (model.model, model.temperature) == (MODEL, 0.1)
    create_agent(f"oxen:{MODEL}", []).invoke({"messages": [("user", "hi")]})
    assert sent_models(oxen_sandbox_env) == [MODEL]


def test_nothing_is_registered_unasked() -> None:
    code = (
        "import langchain_oxen.chat_models\n"
        "from langchain.chat_models import init_chat_model\n"
        "try: init_chat_model('oxen:x', api_key='k')\n"
        "except ValueError: print('unknown')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "unknown\n"


@pytest.mark.parametrize("name", ["stream_chunk_timeout", "truncation", "context_management"])
def test_settings_of_chatopenai_that_mean_nothing_here_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"does not take {name}"):
        ChatOxen(model=MODEL, api_key="k", **{name: 1})


@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("max_retries", -1, ConfigurationError, "max_retries must be 0 or more, not -1"),
        ("timeout", 0, InvalidInputError, "timeout must be a number of seconds above 0"),
        ("http_client", 3, ConfigurationError, "int is not a synchronous HTTP client"),
        ("http_client", ASYNC_HTTP, ConfigurationError, "is not a synchronous HTTP client"),
        ("async_http_client", 3, ConfigurationError, "int is not an asynchronous HTTP client"),
        ("async_http_client", SYNC_HTTP, ConfigurationError, "is not an asynchronous HTTP client"),
    ],
)
def test_settings_without_a_use_are_refused_when_a_model_is_made(
    name: str, value: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Oxen(MODEL, api_key="k", **{name: value})
    in_langchain = name.replace("async_http_client", "http_async_client")
    with pytest.raises(getattr(langchain_oxen.errors, error.__name__), match=said):
        ChatOxen(model=MODEL, api_key="k", **{in_langchain: value})
    client: Any = AsyncOxenClient if name == "async_http_client" else OxenClient
    with pytest.raises(error, match=said):
        client(api_key="k", **{name.removeprefix("async_"): value})


def test_an_http_client_that_the_sdk_does_not_take_is_refused() -> None:
    class Other:
        timeout, build_request, send = 1, None, None

    with pytest.raises(ConfigurationError, match="Other is not a synchronous HTTP client"):
        OxenClient(api_key="k", http_client=Other())


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"is_chat_model": True}, "Every model is one"),
        ({"should_use_structured_outputs": True}, 'structured_mode="json_schema"'),
        ({"reasoning_effort": "low"}, "additional_kwargs"),
        ({"legs": 4}, "does not take legs.*additional_kwargs"),
        ({"base_url": "http://x"}, "base_url: Use api_base"),
        ({"model_name": "x"}, "model_name: Use model"),
        ({"request_timeout": 1}, "request_timeout: Use timeout"),
        ({"max_completion_tokens": 1}, "Use max_tokens"),
        ({"temprature": 1}, r"temprature: Did you mean temperature\?"),
        ({"stop": ["x"]}, "stop: Put it into additional_kwargs"),
        ({"extra_body": {}}, "additional_kwargs"),
        ({"n": 2}, "one answer per request"),
        ({"system": "x"}, "Use system_prompt"),
    ],
)
def test_arguments_of_openailike_are_explained(given: dict[str, Any], hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        Oxen(MODEL, api_key="k", **given)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("temprature", r"did you mean temperature\?"),
        ("system_prompt", "put a system message first"),
        ("async_http_client", "use http_async_client"),
    ],
)
def test_names_that_chatoxen_does_not_know_are_explained(name: str, said: str) -> None:
    with pytest.warns(UserWarning, match=f"{name} is not a parameter of ChatOxen.*{said}"):
        ChatOxen(model=MODEL, api_key="k", **{name: "x"})


def test_a_model_without_a_name_says_where_names_are() -> None:
    for kind in (Oxen, ChatOxen):
        with pytest.raises((TypeError, ValueError), match=r"needs a model.*oxen-inference models"):
            kind(api_key="k")  # type: ignore[call-arg]  # as a newcomer may
    named = type("Named", (ChatOxen,), {"__annotations__": {"model": str}, "model": "gpt-4o"})
    assert named(api_key="k").model == "gpt-4o"


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"max_price": 3}, r"max_price is not an option. Did you mean max_cost"),
        ({"base_url": "http://x"}, "base_url is not an option. Did you mean api_base"),
        ({"legs": 4}, "legs is not an option. Options are allow_unknown_cost, api_base, .*timeout"),
    ],
)
def test_an_option_that_the_tools_do_not_know_is_explained(
    given: dict[str, Any], hint: str
) -> None:
    with pytest.raises(InvalidInputError, match=hint):
        OxenToolSpec(["flux-2-dev"], api_key="k", **given)


def test_documents_are_embedded_without_their_numbers(oxen_sandbox_env: Sandbox) -> None:
    documents = OxenModelReader().load_data(output="video")
    text = documents[0].get_content(metadata_mode="embed")  # type: ignore[arg-type]
    assert "makes_video" not in text
    assert documents[0].text in text
    info = OxenModelReader.vector_store_info()
    assert isinstance(info, VectorStoreInfo)
    known = set().union(*(document.metadata for document in OxenModelReader().load_data()))
    assert {field.name for field in info.metadata_info} <= known


def test_a_decision_needs_no_reason() -> None:
    assert OxenSpendingDecision(call="c", approved=False, reason=None).reason is None


def test_a_deep_agent_without_a_system_prompt(oxen_sandbox_env: Sandbox) -> None:
    deepagents = pytest.importorskip("deepagents")
    oxen_sandbox_env.reply("I am done.")
    agent = deepagents.create_deep_agent(ChatOxen(model=MODEL))
    state = agent.invoke({"messages": [("user", "Name an ox.")]})
    assert state["messages"][-1].text == "I am done."
    sent = [r.json for r in oxen_sandbox_env.requests if r.path.endswith("/chat/completions")]
    assert all(message["content"] for message in sent[0]["messages"])
