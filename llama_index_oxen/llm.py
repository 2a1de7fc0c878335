"""`Oxen`: every chat model on Oxen, as a LlamaIndex LLM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.types import BaseOutputParser, PydanticProgramMode
from typing_extensions import Self

from llama_index_oxen import tool_calls
from llama_index_oxen.messages_in import (
    StreamedResponse,
    to_completion,
    to_message,
    to_response,
)
from llama_index_oxen.structured import StructuredOutputLLM
from llama_index_oxen.tracing import current_span
from oxen_inference.chat.families import ReplaySetting
from oxen_inference.chat.parameter_names import CALL_ALIASES, NEEDS_MODEL, ParameterNames
from oxen_inference.clients import ClientCache, ClientHolder
from oxen_inference.masking import without_secrets
from oxen_inference.tools.spans import write_cost

if TYPE_CHECKING:
    from llama_index.core.llms.structured_llm import StructuredLLM

    from oxen_inference.catalog.facade import AsyncCatalog, Catalog
    from oxen_inference.catalog.models import Model

_NOT_GIVEN: Any = None
_INNER = {"system_prompt", "pydantic_program_mode"}
"""Fields of a `StructuredLLM` that it does not read."""
_METADATA_TIMEOUT = 1.0  # seconds that reading `metadata` may take, once, for an unknown model


class Oxen(ClientHolder, tool_calls.ToolRequests, StructuredOutputLLM):
    """Any chat model on Oxen.ai.

    The key and the base URL default to ``OXEN_API_KEY`` and ``OXEN_BASE_URL``. Making an instance
    sends nothing. Calls raise the errors of `oxen_inference.errors`; an error in a stream has what
    came before it in ``partial``, as a `ChatMessage`.

    ```python
    from llama_index_oxen import Oxen

    llm = Oxen(model="claude-sonnet-4-6")
    print(llm.complete("What is a great name for an ox?"))
    ```
    """

    model: str = Field(description="Id of the model, as in the catalog.")
    api_key: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="The key, or a function that returns it and is called before every request.",
    )
    api_base: str | None = Field(default=None, description="Base URL of the API; Oxen's hub.")
    temperature: float | None = Field(default=None, description="Sampling temperature, 0 to 2.")
    max_tokens: int | None = Field(default=None, description="Most tokens an answer may have.")
    timeout: float | None = Field(
        default=None,
        description="Seconds until an answer begins, and between two parts of a streamed one.",
    )
    max_retries: int = Field(
        default=2,
        description="How often a failed request is sent again. A stream that began is not.",
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of every request."
    )
    context_window: int | None = Field(
        default=None, description="Tokens in the model's context; overrides the catalog."
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model calls tools; by default every one does."
    )
    reasoning_replay: ReplaySetting = Field(
        default="auto",
        description="Which of its earlier reasoning the model is sent again: what its family "
        "needs, none, that of the tool calls since the last user message, or all.",
    )
    cost: bool = Field(default=True, description="Whether `raw` has an answer's cost in USD.")
    budget: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="A `Budget` that all answers are paid from, or an amount in USD.",
    )
    default_headers: Mapping[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Headers sent with every request."
    )
    http_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="An HTTP client of your own for synchronous calls; never closed here.",
    )
    async_http_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="An HTTP client of your own for asynchronous calls; never closed here.",
    )

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)
    _entry: Any = PrivateAttr(default=None)

    # An error about one field must not show the others, such as the key.
    model_config = ConfigDict(hide_input_in_errors=True)

    def __init__(
        self,
        model: str = _NOT_GIVEN,
        *,
        api_key: str | SecretStr | Callable[[], str] | None = None,
        api_base: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        additional_kwargs: dict[str, Any] | None = None,
        context_window: int | None = None,
        is_function_calling_model: bool | None = None,
        structured_mode: Literal["tool", "json_schema"] = "tool",
        strict: bool = False,
        reasoning_replay: ReplaySetting = "auto",
        cost: bool = True,
        budget: Any = None,
        default_headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        async_http_client: Any = None,
        system_prompt: str | None = None,
        messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None = None,
        completion_to_prompt: Callable[[str], str] | None = None,
        output_parser: BaseOutputParser | None = None,
        pydantic_program_mode: PydanticProgramMode = PydanticProgramMode.DEFAULT,
        query_wrapper_prompt: Any = None,
        callback_manager: CallbackManager | None = None,
        rate_limiter: Any = None,
        **removed: Any,
    ) -> None:
        _refuse(removed)
        if model is _NOT_GIVEN:
            raise TypeError(NEEDS_MODEL.format("Oxen"))
        from oxen_inference.settings import (
            check_client_settings,
            check_timeout,
            resolve_api_key,
            resolve_base_url,
        )

        api_base = resolve_base_url(api_base, name="api_base")
        resolve_api_key(api_key, base_url=api_base)
        super().__init__(
            model=model,
            api_key=SecretStr(api_key) if isinstance(api_key, str) else api_key,
            api_base=api_base,
            temperature=temperature,
            max_tokens=max_tokens,
            timeout=timeout,
            max_retries=max_retries,
            additional_kwargs=additional_kwargs or {},
            context_window=context_window,
            is_function_calling_model=is_function_calling_model,
            structured_mode=structured_mode,
            strict=strict,
            reasoning_replay=reasoning_replay,
            cost=cost,
            budget=_as_budget(budget),
            default_headers=default_headers,
            http_client=http_client,
            async_http_client=async_http_client,
            system_prompt=system_prompt,
            messages_to_prompt=messages_to_prompt,
            completion_to_prompt=completion_to_prompt,
            output_parser=output_parser,
            pydantic_program_mode=pydantic_program_mode,
            query_wrapper_prompt=query_wrapper_prompt,
            callback_manager=callback_manager or CallbackManager([]),
            rate_limiter=rate_limiter,
        )
        _NAMES.refuse_settings(self.additional_kwargs)
        _NAMES.warn(self.additional_kwargs, CALL_ALIASES, stacklevel=2)
        check_timeout(self.timeout)
        check_client_settings(
            max_retries=self.max_retries,
            http_client=http_client,
            async_http_client=async_http_client,
        )

    @classmethod
    def class_name(cls) -> str:
        return "Oxen"

    # Metadata

    @property
    def metadata(self) -> LLMMetadata:
        """What the model can do, from this object's settings, the catalog, and a shipped table.

        Reading this fetches the catalog, for a second at most; inside a running event loop, the
        fetch goes on in the background. Where nothing knows the context's length, it is
        `oxen_inference.catalog.profiles.DEFAULT_CONTEXT_WINDOW`.
        """
        return self._metadata(self._cached_entry() or self._look_up_entry())

    def to_payload(self) -> dict[str, Any]:
        """Describe this LLM for events; called with every request, it never waits."""
        metadata = self._metadata(self._cached_entry())
        return {"class_name": self.class_name(), **metadata.model_dump()}

    def _metadata(self, entry: Model | None) -> LLMMetadata:
        from oxen_inference.catalog.profiles import profile_for

        profile = profile_for(
            self.model,
            entry,
            max_input_tokens=self.context_window,
            tool_calling=self.is_function_calling_model,
        )
        # Core takes it off the context's length: at most half, or no prompt would fit.
        most = min(profile.max_output_tokens or 0, profile.context_window // 2)
        num_output = self.max_tokens or most
        options: dict[str, Any] = {"num_output": num_output} if num_output else {}
        return LLMMetadata(
            model_name=profile.model_id,
            context_window=profile.context_window,
            is_chat_model=True,
            is_function_calling_model=bool(profile.tool_calling),
            **options,
        )

    def _cached_entry(self) -> Model | None:
        if self._entry is not None and self._entry.id != self.model:
            self._entry = None  # this is a copy for another model, or `model` was assigned
        if self._entry is None:
            self._entry = self._known_entry(self.model)
        entry: Model | None = self._entry
        return entry

    def _look_up_entry(self) -> Model | None:
        if self.context_window:
            return None
        self._entry = self._catalog_entry(self.model, _METADATA_TIMEOUT)
        return self._cached_entry()

    # Requests

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the model's answer. Raises `OxenError`."""
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the model's answer without blocking the running loop."""
        return await self._achat(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Yield the answer as it arrives; the last response has usage and cost.

        Closing the generator closes the connection.
        """
        return self._stream(messages, kwargs, current_span())

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Return an asynchronous generator of the answer as it arrives."""
        return self._astream(messages, kwargs, current_span())

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt, which is sent as a user message."""
        return to_completion(self._chat(self._prompt(prompt, formatted), kwargs))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Return the answer to a prompt without blocking the running loop."""
        return to_completion(await self._achat(self._prompt(prompt, formatted), kwargs))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Yield the answer to a prompt as it arrives."""
        messages, span = self._prompt(prompt, formatted), current_span()

        def responses() -> CompletionResponseGen:
            with closing(self._stream(messages, kwargs, span)) as answer:
                yield from map(to_completion, answer)

        return responses()

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Return an asynchronous generator of the answer to a prompt as it arrives."""
        messages, span = self._prompt(prompt, formatted), current_span()

        async def responses() -> CompletionResponseAsyncGen:
            async with aclosing(self._astream(messages, kwargs, span)) as answer:
                async for response in answer:
                    yield to_completion(response)

        return responses()

    def _prompt(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=prompt)]

    def _chat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        from oxen_inference.chat.budgeted import complete

        client = self._client()
        body, options = self._request(client.catalog, messages, kwargs)
        with _partial_as_message():
            answer = complete(client, body, **options)
        write_cost(current_span(), answer.cost_charged)
        return to_response(answer)

    async def _achat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        client = await self._async_client()
        from oxen_inference.chat.budgeted import acomplete

        body, options = self._request(client.catalog, messages, kwargs)
        with _partial_as_message():
            answer = await acomplete(client, body, **options)
        write_cost(current_span(), answer.cost_charged)
        return to_response(answer)

    def _stream(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], span: Any
    ) -> Generator[ChatResponse, None, None]:
        from oxen_inference.chat.budgeted import stream

        client = self._client()
        body, options = self._request(client.catalog, messages, kwargs, streamed=True)
        streamed = StreamedResponse()
        with _partial_as_message(), closing(stream(client, body, **options)) as deltas:
            for delta in deltas:
                if delta.end is not None:
                    write_cost(span, delta.end.cost_charged)
                yield streamed.add(delta)

    async def _astream(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], span: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        client = await self._async_client()
        from oxen_inference.chat.budgeted import astream

        body, options = self._request(client.catalog, messages, kwargs, streamed=True)
        streamed = StreamedResponse()
        with _partial_as_message():
            async with aclosing(astream(client, body, **options)) as deltas:
                async for delta in deltas:
                    if delta.end is not None:
                        write_cost(span, delta.end.cost_charged)
                    yield streamed.add(delta)

    def _request(
        self,
        catalog: Catalog | AsyncCatalog,
        messages: Sequence[ChatMessage],
        kwargs: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the body of a request and the options of the call."""
        from llama_index_oxen.messages_out import to_wire
        from oxen_inference.chat.messages import model_takes_images
        from oxen_inference.chat.options import check_parameters, split_parameters
        from oxen_inference.chat.request import prepare_body

        given = _under_own_names({n: value for n, value in kwargs.items() if value is not None})
        _NAMES.check_call(given, settings=type(self).model_fields)
        fields = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        body, options, extra_body = split_parameters(
            {"model": self.model, "timeout": self.timeout},
            {name: value for name, value in fields.items() if value is not None},
            _under_own_names(self.additional_kwargs),
            given,
        )
        body.pop("stream", None)
        options |= {"priced": self.cost, "budget": self.budget}
        options["expected"] = prepare_body(
            body,
            to_wire(messages),
            replay=self.reasoning_replay,
            takes_images=lambda: model_takes_images(catalog.cached(body["model"])),
        )
        if self._entry is None:
            self._entry = catalog.cached(self.model)
        if streamed:
            body.setdefault("stream_options", {"include_usage": True})
        body.update(extra_body)
        check_parameters(body)
        return body, options

    # Objects

    def as_structured_llm(self, output_cls: Any, **kwargs: Any) -> StructuredLLM:
        """Return this LLM with answers as objects of `output_cls`, a pydantic class.

        `kwargs`: arguments of `Oxen` and parameters of its calls, which hold for these answers.
        """
        from llama_index.core.llms.structured_llm import StructuredLLM

        given = _under_own_names(kwargs)
        outer = {n: given.pop(n) for n in StructuredLLM.model_fields.keys() & given.keys() - _INNER}
        return StructuredLLM(
            llm=self._with_options(given) if given else self, output_cls=output_cls, **outer
        )

    def _with_options(self, given: dict[str, Any]) -> Self:
        """Return a copy with other values of fields, and with further parameters of requests."""
        fields = type(self).model_fields
        settings = {name: getattr(self, name) for name in fields}
        settings |= {name: value for name, value in given.items() if name in fields}
        common, further = (
            {n: v for n, v in parameters.items() if n not in given.keys() & fields.keys()}
            for parameters in (_under_own_names(settings["additional_kwargs"] or {}), given)
        )
        if "extra_body" in common and "extra_body" in further:
            further["extra_body"] = {**common["extra_body"], **further["extra_body"]}
        copied = type(self)(**settings | {"additional_kwargs": common | further})
        copied._clients = self._clients
        return copied

    # Tools

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        """Return the tool calls in a response, which may be one of a stream.

        Raises ValueError for no call, or one that cannot be read, unless
        ``error_on_no_tool_call=False``.
        """
        calls = tool_calls.selections(response)
        if not error_on_no_tool_call:
            return calls
        tool_calls.raise_if_malformed(response, calls)
        if not calls:
            text = (response.message.content or "")[:200]
            reason = tool_calls.cut_off_reason(response) or ""
            raise ValueError(f"The model called no tool. The text: {text!r}. {reason}".strip())
        return calls

    # Clients

    def _client_settings(self) -> dict[str, Any]:
        settings = {
            "api_key": self.api_key,
            "base_url": self.api_base,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def _http_clients(self) -> tuple[Any, Any]:
        return self.http_client, self.async_http_client

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return this model's settings; `from_dict` makes it again.

        That refuses one with a budget, unless it is passed again, ``from_dict(saved, budget=...)``:
        without it, the copy would pay without a limit.
        """
        settings: dict[str, Any] = super().to_dict(**kwargs)
        if self.budget is not None:
            settings["budget"] = repr(self.budget)
        return settings

    def __getstate__(self) -> dict[str, Any]:
        if self.budget is not None:
            # Core leaves out what cannot be pickled, and a copy without a limit would pay without one.
            self.budget.__reduce__()
        # Connections and their locks cannot be pickled.
        without: dict[str, Any] = {"http_client": None, "async_http_client": None}
        # The other process has secrets of its own, such as the key of its environment.
        without["default_headers"] = without_secrets(self.default_headers)
        if isinstance(self.api_key, SecretStr):
            without["api_key"] = None
        copied = self.model_copy(update=without)
        return super(Oxen, copied).__getstate__()


_RENAMED = {
    "base_url": "api_base",
    "openai_api_base": "api_base",
    "oxen_api_base": "api_base",
    "api_host": "api_base",
    "model_name": "model",
    "model_id": "model",
    "oxen_api_key": "api_key",
    "openai_api_key": "api_key",
    "request_timeout": "timeout",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "retries": "max_retries",
    "num_retries": "max_retries",
    "system": "system_prompt",
    "system_message": "system_prompt",
    "instructions": "system_prompt",
    "headers": "default_headers",
    "extra_headers": "default_headers",
    "model_kwargs": "additional_kwargs",
    "generate_kwargs": "additional_kwargs",
    "max_cost": "budget",
    "client": "http_client",
    "openai_client": "http_client",
    "async_client": "async_http_client",
    "http_async_client": "async_http_client",
    "async_openai_client": "async_http_client",
    "max_input_tokens": "context_window",
}
"""Names that other classes have for an argument → its name here."""
_NAMES = ParameterNames(
    "Oxen",
    {name: f"use {here}" for name, here in _RENAMED.items()},
    unchecked="extra_body",
)

_INSTEAD = {
    "is_chat_model": "Every model is one; leave it out.",
    "should_use_structured_outputs": 'Use structured_mode="json_schema".',
    "reuse_client": "Connections are always kept; leave it out.",
    "tokenizer": "The models' tokenizers are not public; leave it out.",
    "n": "Leave it out: Oxen's models give one answer per request.",
    "stream": "Leave it out, and call stream_chat or stream_complete.",
    "tools": "Pass them to chat_with_tools or to an agent.",
    **dict.fromkeys(("api_version", "api_type", "organization", "project"), "Leave it out."),
    **dict.fromkeys(
        (
            "reasoning_effort",
            "logprobs",
            "top_logprobs",
            "modalities",
            "audio_config",
            "top_p",
            "top_k",
            "seed",
            "stop",
            "extra_body",
            "frequency_penalty",
            "presence_penalty",
            "parallel_tool_calls",
            "response_format",
            "user",
        ),
        "Put it into additional_kwargs.",
    ),
}
"""Arguments of LlamaIndex's OpenAI and OpenAILike, and what to write instead."""


def _under_own_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {CALL_ALIASES.get(name, name): value for name, value in parameters.items()}


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments that `Oxen` does not take."""
    if not arguments:
        return
    hints = " ".join(f"{name}: {_hint(name)}" for name in arguments)
    raise TypeError(f"Oxen does not take {', '.join(arguments)}. {hints}")


def _hint(name: str) -> str:
    if name in _RENAMED:
        return f"Use {_RENAMED[name]}."
    if name in _INSTEAD:
        return _INSTEAD[name]
    if near := get_close_matches(name, Oxen.model_fields, n=1):
        return f"Did you mean {near[0]}?"
    return "A parameter of the request goes into additional_kwargs."


def _as_budget(budget: Any) -> Any:
    if budget is None:
        return None  # without importing SQLAlchemy
    from oxen_inference.ledger.budgets import as_budget

    return as_budget(budget)


@contextmanager
def _partial_as_message() -> Iterator[None]:
    """Turn the partial answer of an error into a `ChatMessage`."""
    try:
        yield
    except Exception as error:
        partial: Any = getattr(error, "partial", None)
        if partial is not None:
            error.partial = to_message(partial)  # type: ignore[attr-defined]  # of errors that have one
        raise
