"""`register`: the provider ``oxen`` for `init_chat_model` and `create_agent`."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Make ``init_chat_model("oxen:...")`` and ``create_agent("oxen:...")`` know Oxen's models.

    LangChain has no public way to add a provider: this adds one to its list, in this process. Raises
    `ConfigurationError` where this version of LangChain keeps no such list.
    """
    from oxen_inference.errors import ConfigurationError

    try:
        from langchain.chat_models import base
    except ImportError as error:
        raise ImportError(
            "register() needs langchain: pip install 'oxen-integrations[agents]'"
        ) from error
    providers = getattr(base, "_BUILTIN_PROVIDERS", None)
    if not isinstance(providers, dict):
        raise ConfigurationError(
            "This version of langchain takes no further providers.",
            hint="Pass a model, ChatOxen(model=...), instead of its name.",
        )
    providers["oxen"] = ("langchain_oxen", "ChatOxen", _make)
    forget = getattr(getattr(base, "_get_chat_model_creator", None), "cache_clear", None)
    if forget is not None:
        forget()


def _make(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
