"""What a key stands for already, found in the ledger alone.

What was paid for must be had again when the catalog cannot be read, or has changed its mind
about prices and parameters since. So a request whose key is known is compared with what the
caller passed then, before anything is asked of the hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxen_inference.catalog.models import Model
from oxen_inference.ledger.store import Entry, Ledger, Scope
from oxen_inference.media.inputs import lasting, understood
from oxen_inference.media.lookup import is_same_value
from oxen_inference.media.request import Asked, fingerprint, storable, told_apart


def recall(asked: Asked, ledger: Ledger, scope: Scope) -> Entry | None:
    """Return the entry that a request attaches to by its key, if that is plain without its model.

    None says nothing: the request has to be checked and begun as any other.
    """
    if not isinstance(asked.key, str) or asked.direct:
        return None
    entry = ledger.find(scope, asked.key)
    if entry is None or entry.may_be_claimed:
        return None
    model = asked.model.id if isinstance(asked.model, Model) else asked.model
    params = lasting(understood(asked.params, asked.allow_paths))
    return entry if _is_for(entry, model, params) else None


def _is_for(entry: Entry, model: str, params: Mapping[str, Any]) -> bool:
    meant = told_apart(model, params)
    if fingerprint(meant) in (entry.asked, entry.fingerprint):
        return True
    # What was passed otherwise, or by a version that did not write it down, was sent like this.
    sent = {name: value for name, value in entry.request.items() if value is not None}
    return is_same_value(storable(meant), sent)
