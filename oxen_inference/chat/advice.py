"""What to do about a refused chat request, where the refusal alone does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oxen_inference.errors import APIStatusError, BadRequestError, InvalidInputError

_FORMAT = re.compile(r"response_?format|json_?schema|json_?object|structured", re.IGNORECASE)
# OpenAI's models take json_object only where the messages speak of JSON, and say so themselves.
_WANTS_THE_WORD = re.compile(r"must contain the word|word 'json'", re.IGNORECASE)


def with_advice(error: APIStatusError, body: Mapping[str, Any]) -> APIStatusError:
    """Return the error with a sentence on what to do added to its words, where there is one."""
    form = body.get("response_format")
    refused = isinstance(error, BadRequestError) and _FORMAT.search(error.message)
    if form and refused and not _WANTS_THE_WORD.search(error.message):
        kind = form.get("type") if isinstance(form, Mapping) else form
        error.message = (
            f"{error.message.rstrip('.')}. If {body.get('model')} does not support "
            f"response_format {kind!r}, use the method 'function_calling' for structured output: "
            "it works with every provider."
        )
    return error


def unsendable(error: TypeError) -> InvalidInputError:
    """Return the error for a request that cannot be written as JSON."""
    return InvalidInputError(
        f"The request cannot be sent, for a parameter or a message in it is not JSON: {error}."
    )
