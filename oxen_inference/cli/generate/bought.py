"""What a run bought before, by its keys in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        self._contents: dict[str, str] = {}
        """Each key that a row gives → the fingerprint of its request."""
        self._known: Mapping[str, KeyState] = {}
        if self._scope is not None:
            self._known = self._ledger.bought_keys(self._scope, self._keys.beginning)

    def find(self, request: Mapping[str, Any]) -> Earlier:
        """Return what became of the next request. Raises `InvalidInputError`, and `ValueError`
        for a key that stands for a request of another content, here or in the ledger.
        """
        from oxen_inference.media.api import read_request
        from oxen_inference.media.attempts import derived_key
        from oxen_inference.media.fingerprints import caller_parameters, fingerprint
        from oxen_inference.media.inputs import read_inputs, stable_form

        wanted, _ = read_request(request)
        params = read_inputs(wanted.params, False)
        key = wanted.key
        look_up: Callable[[str], KeyState | None] = self._look_up
        if key is None:
            key = self._keys.key(request["model"], stable_form(params))
            look_up = self._known_state
        else:
            content = fingerprint(caller_parameters(request["model"], stable_form(params)))
            if self._contents.setdefault(key, content) != content:
                raise ValueError(f"key {key[:60]!r} is the key of another request, too")
            self._check_ledger(key, content)
        number, found = 1, look_up(key)
        while found == "failed" and (later := look_up(derived_key(key, number + 1) or "")):
            number, found = number + 1, later
        if found is None or (found == "failed" and number < self._attempts):
            return "new"
        return found

    def _check_ledger(self, key: str, content: str) -> None:
        """Raise `ValueError` for a key that the ledger holds with another content."""
        entry = None if self._scope is None else self._ledger.find(self._scope, key)
        known = () if entry is None else (entry.caller_fingerprint, entry.fingerprint)
        if known and None not in known and content not in known:
            raise ValueError(f"key {key[:60]!r} stands for another request in the ledger")

    def _known_state(self, key: str) -> KeyState | None:
        return self._known.get(key)

    def _look_up(self, key: str) -> KeyState | None:
        return None if self._scope is None else self._ledger.bought_key(self._scope, key)
