"""`ChatOxen`: every chat model on Oxen, as a LangChain chat model."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from typing_extensions import Self, override

from langchain_oxen import structured
from langchain_oxen.messages_in import to_chunk, to_message
from langchain_oxen.parameters import (
    ALIASES,
    REQUEST_FIELDS,
    Tool,
    ToolChoice,
    bind_kwargs,
    check_call,
    convert_tools,
    sort_arguments,
)
from langchain_oxen.profile import CatalogProfile
from langchain_oxen.stream_events import EventWriter
from langchain_oxen.tracing import trace_cost, with_stream_cost
from oxen_inference._version import __version__
from oxen_inference.chat.families import ReplaySetting
from oxen_inference.chat.parameter_names import NEEDS_MODEL
from oxen_inference.clients import ClientCache, ClientHolder
from oxen_inference.masking import without_secrets

if TYPE_CHECKING:
    from oxen_inference.chat.answer import Answer, Delta
    from oxen_inference.client import AsyncOxenClient, OxenClient

T = TypeVar("T")


class ChatOxen(ClientHolder, BaseChatModel):
    """Any chat model on Oxen.ai.

    The key and the base URL default to ``OXEN_API_KEY`` and ``OXEN_BASE_URL``. Making an instance
    sends nothing. Calls raise the errors of `langchain_oxen.errors`.

    ```python
    from langchain_oxen import ChatOxen

    model = ChatOxen(model="claude-sonnet-4-6")
    print(model.invoke("What is a great name for an ox?").text)
    ```
    """

    model: str
    """Id of the model, as in the catalog: ``claude-sonnet-4-6``."""
    api_key: SecretStr | Callable[[], str] | None = None
    """The key, or a function that returns it and is called before every request."""
    base_url: str | None = None
    """Base URL of the API; by default Oxen's hub."""

    temperature: float | None = None
    """Sampling temperature, 0 to 2."""
    max_tokens: int | None = None
    """Most tokens an answer may have."""
    top_p: float | None = None
    """Nucleus sampling."""
    frequency_penalty: float | None = None
    """Penalty for repeated tokens; not accepted by Anthropic's and Google's models."""
    presence_penalty: float | None = None
    """Penalty for tokens already present; not accepted by Anthropic's and Google's models."""
    stop: list[str] | str | None = None
    """Texts at which the answer ends."""
    seed: int | None = None
    """Seed of the sampling, for models that take one."""
    parallel_tool_calls: bool | None = None
    """Whether one answer may call several tools; sent with tools only."""
    response_format: dict[str, Any] | type | None = None
    """Format of the answer: a ``response_format`` object, a JSON schema or a pydantic class."""
    target_namespace: str | None = None
    """Namespace to bill; by default that of the key."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further parameters of the request."""
    extra_body: Mapping[str, Any] | None = None
    """Fields that are put into the request unchanged, in place of all others of their names."""

    timeout: float | None = None
    """Seconds until an answer begins, and between two parts of a streamed one."""
    max_retries: int | None = None
    """How often a failed request is sent again; 2 by default. A stream that began is not."""
    streaming: bool = False
    """Whether `invoke` streams internally."""
    stream_usage: bool = True
    """Whether streams end with token counts."""
    reasoning_replay: ReplaySetting = "auto"
    """Which of its earlier reasoning the model is sent again: what its family needs, none, that of
    the tool calls since the last user message, or all."""
    inputs_from: str | Path | None = None
    """Folder whose files blocks of images, audio, video and documents may name as ``path``; None: no
    file is read."""
    cost: bool = True
    """Whether ``response_metadata["cost"]`` of an answer has its cost in USD."""

    budget: Any = Field(default=None, exclude=True, repr=False)
    """A `Budget` that all answers are paid from, or an amount in USD for one of this model."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Headers sent with every request."""
    default_query: Mapping[str, object] | None = Field(default=None, exclude=True, repr=False)
    """Query parameters sent with every request."""
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An HTTP client of your own for synchronous calls; it is never closed here."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An HTTP client of your own for asynchronous calls; it is never closed here."""

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)

    # An error about one field must not show the others, such as the key.
    model_config = ConfigDict(hide_input_in_errors=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not in a validator: pydantic would wrap the typed errors in its own.
        with _typed_errors():
            self._resolve_settings()

    @model_validator(mode="before")
    @classmethod
    def _sort_arguments(cls, given: Any) -> Any:
        """Read other chat models' names for a field; what is not a field is sent to the API."""
        if not isinstance(given, dict):
            return given
        values = sort_arguments(given, cls.model_fields.keys())
        if values.get("model") is None and cls.model_fields["model"].is_required():
            raise ValueError(NEEDS_MODEL.format("ChatOxen"))
        # `configurable_fields` passes the profile of one model to another.
        if isinstance(values.get("profile"), CatalogProfile):
            del values["profile"]
        return values

    @model_validator(mode="after")
    def _set_oxen_version(self) -> Self:
        if hasattr(self, "_add_version"):  # langchain-core 1.7 and later
            self._add_version("oxen-integrations", __version__)
        return self

    def _resolve_settings(self) -> None:
        from oxen_inference.settings import (
            check_client_settings,
            check_timeout,
            resolve_api_key,
            resolve_base_url,
        )

        check_timeout(self.timeout)
        check_client_settings(
            max_retries=self.max_retries,
            http_client=self.http_client,
            async_http_client=self.http_async_client,
        )
        if self.budget is not None:
            from oxen_inference.ledger.budgets import as_budget

            self.budget = as_budget(self.budget)
        if self.inputs_from is not None:
            from oxen_inference.tools.inputs import check_folder

            check_folder(self.inputs_from)
        self.base_url = resolve_base_url(self.base_url)
        key = resolve_api_key(self.api_key, base_url=self.base_url)
        self.api_key = SecretStr(key) if isinstance(key, str) else key

    # Identity, serialization, tracing

    @property
    @override
    def _llm_type(self) -> str:
        return "oxen-chat"

    @property
    def model_name(self) -> str:
        """The model's id, under the name other chat models give it."""
        return self.model

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": "OXEN_API_KEY"}

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @classmethod
    @override
    def get_lc_namespace(cls) -> list[str]:
        return ["langchain_oxen", "chat_models"]

    @override
    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return this model as `dumps` writes it.

        `load` refuses one with a budget: without it, the copy would pay without a limit.
        """
        serialized = super().to_json()
        if self.budget is not None and serialized["type"] == "constructor":
            serialized["kwargs"]["budget"] = self.budget  # `dumps` writes it as "not_implemented"
        return serialized

    @property
    def _sent_params(self) -> dict[str, Any]:
        fields = self.__dict__
        return {name: value for name in REQUEST_FIELDS if (value := fields[name]) is not None}

    @override
    def configurable_fields(self, **kwargs: Any) -> Any:
        """Return this model with fields that a config sets; also under other models' names."""
        return super().configurable_fields(
            **{
                name if name in type(self).model_fields else ALIASES.get(name, name): field
                for name, field in kwargs.items()
            }
        )

    @override
    def _combine_llm_outputs(self, _llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        given = [output for output in _llm_outputs if output]
        usage: dict[str, int] = {}
        for output in given:
            for name in _COUNTS:
                usage[name] = usage.get(name, 0) + output.get("token_usage", {}).get(name, 0)
        return {**given[-1], "token_usage": usage} if given else {}

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, **self._sent_params, **self.model_kwargs}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider="oxen",
            ls_model_name=kwargs.get("model") or self.model,
            ls_model_type="chat",
        )
        temperature = kwargs.get("temperature", self.temperature)
        if temperature is not None:
            params["ls_temperature"] = temperature
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        stop = stop or ([self.stop] if isinstance(self.stop, str) else self.stop)
        if stop:
            params["ls_stop"] = stop
        return params

    @override
    def _resolve_model_profile(self) -> ModelProfile:
        return cast("ModelProfile", CatalogProfile(self))

    # Requests

    @override
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        prompt = super()._convert_input(model_input)
        if not isinstance(prompt, ChatPromptValue):
            return prompt
        if all(isinstance(message.content, str) for message in prompt.messages):
            return prompt
        with _typed_errors():
            from langchain_oxen.messages_out import readable_by_core

            return ChatPromptValue(messages=readable_by_core(prompt.messages))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with _typed_errors():
            from oxen_inference.chat.budgeted import complete

            client = self._client()
            body, options = self._request(client, messages, stop, kwargs)
            answer = complete(client, body, **options)
            trace_cost(run_manager, answer.cost_charged)
            return _result(answer)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with _typed_errors():
            client = await self._async_client()
            from oxen_inference.chat.budgeted import acomplete

            body, options = self._request(client, messages, stop, kwargs)
            answer = await acomplete(client, body, **options)
            trace_cost(run_manager, answer.cost_charged)
            return _result(answer)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self._streamed(to_chunk, messages, stop, run_manager, kwargs)

    @override
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return self._astreamed(to_chunk, messages, stop, run_manager, kwargs)

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Yield the protocol events of ``stream_events(version="v3")``."""
        writer = EventWriter(run_manager and run_manager.run_id)
        with closing(self._streamed(writer.add, messages, stop, run_manager, kwargs)) as steps:
            for events in steps:
                yield from events

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Yield the protocol events of ``astream_events(version="v3")``."""
        writer = EventWriter(run_manager and run_manager.run_id)
        async with aclosing(
            self._astreamed(writer.add, messages, stop, run_manager, kwargs)
        ) as steps:
            async for events in steps:
                for event in events:
                    yield event

    # Each generator around a stream costs time for every token, so these are the only ones here.

    def _streamed(
        self,
        convert: Callable[[Delta], T],
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        given: dict[str, Any],
    ) -> Generator[T, None, None]:
        """Yield what `convert` makes of each delta of the answer."""
        with _typed_errors():
            from oxen_inference.chat.budgeted import stream

            client = self._client()
            body, options = self._request(client, messages, stop, given, streamed=True)
            with closing(stream(client, body, **options)) as deltas:
                for delta in deltas:
                    if delta.end is not None:
                        trace_cost(run_manager, delta.end.cost_charged)
                    yield convert(delta)

    async def _astreamed(
        self,
        convert: Callable[[Delta], T],
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        given: dict[str, Any],
    ) -> AsyncGenerator[T, None]:
        """Yield what `convert` makes of each delta of the answer."""
        with _typed_errors():
            client = await self._async_client()
            from oxen_inference.chat.budgeted import astream

            body, options = self._request(client, messages, stop, given, streamed=True)
            async with aclosing(astream(client, body, **options)) as deltas:
                async for delta in deltas:
                    if delta.end is not None:
                        trace_cost(run_manager, delta.end.cost_charged)
                    yield convert(delta)

    @override
    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer as it arrives; the last chunk has token counts and cost."""
        return super().stream(input, with_stream_cost(config), **kwargs)

    @override
    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield the answer as it arrives, without blocking the running loop."""
        return super().astream(input, with_stream_cost(config), **kwargs)

    def _request(
        self,
        client: OxenClient | AsyncOxenClient,
        messages: list[BaseMessage],
        stop: list[str] | None,
        given: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the body of a request and the options of the call."""
        from langchain_oxen.messages_out import to_wire
        from oxen_inference.chat.messages import model_takes_images
        from oxen_inference.chat.options import check_parameters, split_parameters
        from oxen_inference.chat.request import prepare_body

        settings = {"model": self.model, "timeout": self.timeout, **self._sent_params}
        if self.response_format is not None:
            settings["response_format"] = self.response_format
        body, options, extra_body = split_parameters(
            settings,
            self.model_kwargs,
            {"extra_body": self.extra_body},
            check_call(given, type(self).model_fields.keys()),
        )
        body.pop("stream", None)
        stream_usage = body.pop("stream_usage", self.stream_usage)
        options |= {"priced": self.cost, "budget": self.budget}
        if stop is not None:
            body["stop"] = stop
        if body.get("response_format") is not None:
            body["response_format"] = structured.response_format(body["response_format"])
        convert_tools(body, self.parallel_tool_calls)
        options["expected"] = prepare_body(
            body,
            to_wire(messages, inputs_from=self.inputs_from),
            replay=self.reasoning_replay,
            takes_images=lambda: model_takes_images(client.catalog.cached(body["model"])),
        )
        if streamed and stream_usage:
            body.setdefault("stream_options", {"include_usage": True})
        body.update(extra_body)
        check_parameters(body)
        return body, options

    # Tools and structured output

    @override
    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: ToolChoice = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it may call.

        `tool_choice`: ``"auto"``, ``"none"``, ``"any"`` (the same as ``"required"`` and True),
        the name of a tool, or a dict as the API takes it. `strict`: arguments follow the schemas
        exactly, where the provider can enforce it.
        """
        with _typed_errors():
            fields = bind_kwargs(tools, tool_choice, strict)
        return self.bind(
            **fields,
            **({} if parallel_tool_calls is None else {"parallel_tool_calls": parallel_tool_calls}),
            **({} if response_format is None else {"response_format": response_format}),
            **kwargs,
        )

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: structured.Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers as objects of `schema` instead of messages.

        `schema`: a pydantic class (the answers are its instances), a TypedDict class or a JSON
        schema (the answers are dicts). `method`: ``"function_calling"`` works with every provider,
        ``"json_schema"`` and ``"json_mode"`` with those that support them. With `include_raw`,
        the answer is a dict of ``raw``, ``parsed`` and ``parsing_error``. Raises
        `OutputParserException` for an answer that is no such object; its ``llm_output`` is the text.
        `tools` the model may call instead of answering (the object is None then) go with
        ``"json_schema"`` and ``"json_mode"``.
        """
        with _typed_errors():
            return structured.with_structured_output(
                self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs
            )

    # Token counts, without a network

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids by `custom_get_token_ids`; the models' own tokenizers are not public."""
        if self.custom_get_token_ids is None:
            raise NotImplementedError(
                "The tokenizers of the models behind Oxen are not public. Pass custom_get_token_ids, "
                "or use get_num_tokens, which estimates."
            )
        return self.custom_get_token_ids(text)

    @override
    def get_num_tokens(self, text: str) -> int:
        """Estimate a text's tokens, unless `custom_get_token_ids` is set."""
        from oxen_inference.chat.token_counts import text_tokens

        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return text_tokens(text)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[Tool] | None = None,
    ) -> int:
        """Estimate the tokens of messages and tools, without a network; files by kind and size."""
        from langchain_oxen.token_counts import count_messages

        with _typed_errors():
            return count_messages(messages, tools or (), self.get_num_tokens)

    # Clients

    @override
    def _client_settings(self) -> dict[str, Any]:
        settings = {
            "api_key": self.api_key,
            "base_url": self.base_url,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
            "default_query": self.default_query,
        }
        return {name: value for name, value in settings.items() if value is not None}

    @override
    def _http_clients(self) -> tuple[Any, Any]:
        return self.http_client, self.http_async_client

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        fields = {**state["__dict__"], "http_client": None, "http_async_client": None}
        # The other process has secrets of its own, such as the key of its environment.
        for name in ("default_headers", "default_query"):
            fields[name] = without_secrets(fields[name])
        if isinstance(self.api_key, SecretStr):
            fields["api_key"] = None
        return {**state, "__dict__": fields}

    def __copy__(self) -> Self:
        copied = super().__copy__()
        if isinstance(copied.profile, CatalogProfile):
            # A copy may get another model or hub, and needs a profile of its own.
            copied.__dict__["profile"] = CatalogProfile(copied)
        return copied


# `load(..., allowed_objects="all")` builds only what this table lists, and LangChain's standard
# tests load a model like that. `allowed_objects=[ChatOxen]` needs no entry.
_PATH = tuple(ChatOxen.lc_id())
ALL_SERIALIZABLE_MAPPINGS[_PATH] = _PATH


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def _result(answer: Answer) -> ChatResult:
    generation = ChatGeneration(message=to_message(answer))
    llm_output: dict[str, Any] = {"model_name": answer.model} if answer.model else {}
    if answer.usage is not None:
        counts = answer.usage.as_openai()
        llm_output["token_usage"] = {name: counts[name] for name in _COUNTS}
    return ChatResult(generations=[generation], llm_output=llm_output)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Raise the core's errors as those of `langchain_oxen.errors`."""
    try:
        yield
    except Exception as error:
        from langchain_oxen.errors import OxenError, to_langchain

        if not isinstance(error, OxenError):
            raise
        raise to_langchain(error) from error.__cause__
