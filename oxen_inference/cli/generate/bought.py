"""What a run bought before, by its keys in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.queries import KeyState

Earlier = Literal["new", "made", "sent", "failed"]
"""What became of a request: ``new`` may be bought, ``sent`` has not ended or is not known."""


class Bought:
    """What became of a run's requests, asked in their order. Raises `LedgerError`.

    Without an API key nothing is known, since nothing says whose requests they are.
    """

    def __init__(self, client: OxenClient, key_prefix: str, attempts: int) -> None:
        from oxen_inference.media.attempts import ContentKeys
        from oxen_inference.media.prepare import scope_of

        self._attempts = attempts
        self._keys = ContentKeys(key_prefix)
        self._ledger = client.media.ledger
        self._scope = scope_of(str(client.base_url), client.api_key) if client.has_key else None
        self._known: Mapping[str, KeyState] = {}
        if self._scope is not None:
            self._known = self._ledger.bought_keys(self._scope, self._keys.beginning)

    def find(self, request: Mapping[str, Any]) -> Earlier:
        """Return what became of the next request. Raises `InvalidInputError`."""
        from oxen_inference.media.api import read_request
        from oxen_inference.media.attempts import derived_key
        from oxen_inference.media.inputs import read_inputs, stable_form

        wanted, _ = read_request(request)
        params = read_inputs(wanted.params, False)
        key = wanted.key
        known = self._known
        if key is None:
            key = self._keys.key(request["model"], stable_form(params))
        elif self._scope is not None:
            known = self._ledger.bought_keys(self._scope, key)
        number, found = 1, known.get(key)
        while found == "failed" and (later := known.get(derived_key(key, number + 1) or "")):
            number, found = number + 1, later
        if found is None or (found == "failed" and number < self._attempts):
            return "new"
        return found
