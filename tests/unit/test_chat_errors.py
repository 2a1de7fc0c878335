"""The error classes in the core and in LangChain, and the texts that mean context overflow."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import langchain_core.exceptions as langchain
import openai
import pytest

from langchain_oxen import errors as adapter
from oxen_inference import errors as core
from oxen_inference.chat.answer import Answer
from oxen_inference.error_mapping import error_in_success, status_error

# What happens to paid jobs and deployments is no business of a chat model.
_NOT_CHAT = (core.MediaError, core.KeyConflictError, core.DeploymentError)
CHAT = [
    cls
    for _, cls in inspect.getmembers(core, inspect.isclass)
    if issubclass(cls, core.OxenError)
    and cls is not core.OxenError
    and not cls.__name__.startswith("_")
    and not issubclass(cls, _NOT_CHAT)
]


@pytest.mark.parametrize("cls", CHAT)
def test_every_error_of_a_chat_has_its_class_here(cls: type[core.OxenError]) -> None:
    ours = adapter.KINDS[cls]
    assert ours is getattr(adapter, cls.__name__)
    assert ours.__name__ in adapter.__all__
    assert issubclass(ours, cls)
    assert issubclass(ours, langchain.ModelError)
    assert ours.is_retryable is cls.is_retryable


@pytest.mark.parametrize("cls", CHAT)
def test_the_adapters_tree_is_the_cores(cls: type[core.OxenError]) -> None:
    for parent in cls.__mro__[1:]:
        if parent in adapter.KINDS:
            assert issubclass(adapter.KINDS[cls], adapter.KINDS[parent])


def test_retryable_is_what_may_help() -> None:
    retryable = {cls.__name__ for cls in CHAT if cls.is_retryable}
    assert retryable == {
        "APIConnectionError",
        "APITimeoutError",
        "APIResponseError",
        "StreamError",
        "StreamCutOffError",
        "StreamStalledError",
        "RequestTimeoutError",
        "RateLimitError",
        "InternalServerError",
    }


def test_translating_keeps_everything() -> None:
    cause = ValueError("below")
    error = core.StreamCutOffError("cut off", partial=Answer(text="hel"))
    error.__cause__ = cause
    twin: Any = adapter.to_langchain(error)
    assert type(twin) is adapter.StreamCutOffError
    assert str(twin) == "cut off"
    assert twin.__cause__ is cause
    assert twin.partial.content == "hel"
    assert adapter.to_langchain(twin) is twin
    again = pickle.loads(pickle.dumps(twin))
    assert type(again) is adapter.StreamCutOffError
    assert again.partial.content == "hel"


OVERFLOWS = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Input is too long for requested model.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "Range of input length should be [1, 30720]",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "Invalid request: Your request exceeded model token limit: 131072",
    "context window exceeds limit",
    "Prompt exceeds max length",
    "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 `inputs` tokens and 200 `max_new_tokens`",
    "the request exceeds the available context size. try increasing the context size",
    "Invalid 'messages[0].content': string too long. Expected a string with maximum length 10485760",
    # vLLM, SGLang, TensorRT-LLM, llama.cpp, Ollama
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens",
    "You passed 5000 input tokens and requested 100 output tokens. However, the model's context length is only 4096 tokens, resulting in a maximum input length of 3996 tokens. Please reduce the length of the input prompt.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "prompt length (5000) + max_tokens exceeds max_seq_len",
    "the input length exceeds the context length",
    # China
    "输入长度超过模型最大上下文长度限制",
    "输入的tokens数超出模型上限",
    "Prompt 超长",
    "请求内容超出最大上下文长度 32768",
    "输入文本过长，请减少后重试",
    "Total tokens of image and text exceed max message tokens",
    "the max input characters is 24000",
    # Gateways
    "litellm.ContextWindowExceededError: prompt too big",
    "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8192).",
    "the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model",
]
OTHERS = [
    "Too many tokens, please wait before trying again.",
    "Rate limit reached for gpt-4o: Limit 30000 tokens per minute",
    "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
    "输入图片过大",
    "max_tokens超出范围",
    "请求频率超过限制",
    "余额不足",
    "You must specify a model to call",
]


@pytest.mark.parametrize("text", OVERFLOWS)
def test_overflow(text: str) -> None:
    for error in (
        status_error({"error": {"message": text}}, status=400),
        error_in_success({"error": {"message": text}}),
    ):
        assert isinstance(error, core.ContextOverflowError)
        assert isinstance(adapter.to_langchain(error), langchain.ContextOverflowError)
        assert isinstance(error, openai.BadRequestError)
        assert error.message == text


@pytest.mark.parametrize("text", OTHERS)
def test_no_overflow(text: str) -> None:
    assert not isinstance(error_in_success({"error": {"message": text}}), core.ContextOverflowError)
