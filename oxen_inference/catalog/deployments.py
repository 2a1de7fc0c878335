"""Activating and deactivating a custom model: the hub bills it by the second in between."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.routes import activate_call, deactivate_call, get_call
from oxen_inference.effects import invoke, send, sleep
from oxen_inference.errors import (
    APIStatusError,
    DeploymentError,
    InternalServerError,
    InvalidInputError,
    OxenError,
    RequestTimeoutError,
    end_sentence,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.paths import Paths

OnStatus = Callable[["Model"], Any]
"""Called with the model each time its status was asked for; async clients may await it."""

_SLOWEST_POLL = 10.0
_RELEASE_TRIES = 5
FIRST_RETRY = 2.0
"""Seconds before a deactivation that failed is tried again; twice as long each time."""
ENDING_TAKES = 90.0
"""Seconds that deactivating may take at the most; after that the next user goes on."""


@dataclass(slots=True)
class _Users:
    count: int = 0
    have_activated: bool = False
    end_by: float = 0.0
    """When the last of them will have deactivated it."""


class _Deployments:
    """Who uses which deployment in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users: dict[tuple[str, str], _Users] = {}


_deployments = _Deployments()


def _start_empty() -> None:
    global _deployments  # noqa: PLW0603 - the parent's deployments are not the child's to undo
    _deployments = _Deployments()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_start_empty)


@dataclass(slots=True)
class Claim:
    """One user's claim on a model of a hub: the last to leave undoes what any of them activated."""

    hub: str
    model_id: str
    has_activated: bool = False
    _counted_in: _Deployments | None = field(default=None, repr=False)

    def enter(self) -> bool:
        """Join the users; False while the last user before is deactivating it."""
        with _deployments.lock:
            users = _deployments.users.setdefault((self.hub, self.model_id), _Users())
            if not users.count and time.monotonic() < users.end_by:
                return False
            users.count += 1
            self._counted_in = _deployments
        return True

    def leave(self) -> bool:
        """Leave the users; True if you must deactivate it now, and call `ended` after that."""
        if self._counted_in is not _deployments:
            return False  # it never entered, or did so before a fork
        with _deployments.lock:
            self._counted_in = None
            users = _deployments.users[self.hub, self.model_id]
            users.count -= 1
            users.have_activated |= self.has_activated
            if users.count:
                return False
            if not users.have_activated:
                del _deployments.users[self.hub, self.model_id]
                return False
            users.end_by = time.monotonic() + ENDING_TAKES
        return True

    def ended(self) -> None:
        """Let the next user in."""
        with _deployments.lock:
            users = _deployments.users.get((self.hub, self.model_id))
            if users and not users.count:
                del _deployments.users[self.hub, self.model_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForStatus:
    """How to wait: seconds in all, seconds between requests, and whom to tell."""

    timeout: float = 900.0
    poll_every: float = 2.0
    on_status: OnStatus | None = None


async def activate_for(paths: Paths, waiting: WaitForStatus, claim: Claim) -> Model:
    """Activate a model for one more user of it, who asks `claim.leave` whether to release it."""
    while not claim.enter():
        await sleep(waiting.poll_every)
    return await activate(paths, claim.model_id, waiting, claim)


async def activate(
    paths: Paths, model_id: str, waiting: WaitForStatus | None, claim: Claim | None = None
) -> Model:
    """Activate `model_id` unless it is active; with `waiting`, until it is.

    The activation is sent once: a second answer would hide what became of the first. The live
    status decides where the answer is lost. If another user deactivates the model meanwhile, it
    is activated again.

    Raises `InvalidInputError` for a base model, `DeploymentError` if it ends in another state.
    """
    claim = claim or Claim("", model_id)
    model = await send(get_call(paths, model_id, live=True))
    _check_custom(model)
    for _ in range(2):
        model = await _activate_once(paths, model, waiting, claim)
        if waiting is None or model.deployment_status == "active":
            return model  # else another user deactivated it before it was seen active
    return await _activate_once(paths, model, waiting, claim, is_last=True)


async def _activate_once(
    paths: Paths,
    model: Model,
    waiting: WaitForStatus | None,
    claim: Claim,
    *,
    is_last: bool = False,
) -> Model:
    if model.deployment_status == "deactivating" and waiting:
        model = await _until(
            paths,
            model,
            waiting,
            goal="inactive",
            on_the_way="deactivating",
            undone=("deploying", "active"),
        )
    if model.deployment_status not in ("active", "deploying"):
        claim.has_activated = True  # before it is sent: a lost answer may have been a yes
        try:
            model = await send(activate_call(paths, model.id))
        except OxenError as error:
            claim.has_activated = not _is_refusal(error)
            model = await _active_anyway(error, paths, model.id)
    if waiting is None:
        return model
    # Our own activation that is inactive may have failed; deactivating is another user's doing.
    by_others = ("deactivating",) if claim.has_activated else ("deactivating", "inactive")
    undone = () if is_last else by_others
    return await _until(paths, model, waiting, goal="active", on_the_way="deploying", undone=undone)


async def deactivate(paths: Paths, model_id: str, waiting: WaitForStatus | None) -> Model:
    """Deactivate `model_id`; with `waiting`, until it is inactive."""
    model = await send(deactivate_call(paths, model_id))
    if waiting is None:
        return model
    return await _until(paths, model, waiting, goal="inactive", on_the_way="deactivating")


async def release(paths: Paths, claim: Claim) -> None:
    """Deactivate what the last user left, with retries. Raises `DeploymentError`."""
    try:
        await _deactivate_with_retries(paths, claim.model_id)
    finally:
        claim.ended()


async def _deactivate_with_retries(paths: Paths, model_id: str) -> None:
    for attempt in count(1):  # pragma: no branch - it counts without end
        try:
            await send(deactivate_call(paths, model_id))
        except OxenError as error:
            if _is_refusal(error) and await _is_inactive(paths, model_id):
                return  # an earlier attempt succeeded, and its answer was lost
            if attempt == _RELEASE_TRIES or not error.is_retryable:
                raise DeploymentError(
                    f"{model_id} could not be deactivated and may still be billed: "
                    f"{end_sentence(error.message)}",
                    model_id=model_id,
                    hint=f"Call client.catalog.deactivate({model_id!r}), or use the hub's own page.",
                ) from error
        else:
            return
        await sleep(FIRST_RETRY * 2 ** (attempt - 1))


async def _is_inactive(paths: Paths, model_id: str) -> bool:
    try:
        model = await send(get_call(paths, model_id, live=True))
    except OxenError:
        return False
    return model.deployment_status in ("inactive", "deactivating")


def _is_refusal(error: OxenError) -> bool:
    """Whether the request surely had no effect."""
    is_unknown = isinstance(error, RequestTimeoutError | InternalServerError)
    return isinstance(error, APIStatusError) and not is_unknown


async def _active_anyway(error: OxenError, paths: Paths, model_id: str) -> Model:
    """Return a model that is active or deploying although its activation failed.

    The answer may have been lost, or another user was faster. Raises `error` where it is not.
    """
    try:
        model = await send(get_call(paths, model_id, live=True))
    except OxenError:
        raise error from None
    if model.deployment_status not in ("active", "deploying"):
        raise error
    return model


def _check_custom(model: Model) -> None:
    if not model.is_custom and model.deployment_status is None:
        raise InvalidInputError(
            f"{model.id} is a base model: it is always active and needs no activation."
        )


async def _until(
    paths: Paths,
    model: Model,
    waiting: WaitForStatus,
    *,
    goal: str,
    on_the_way: str,
    undone: Collection[str] = (),
) -> Model:
    """Ask until the status is the `goal`, or one that means that another user has `undone` it."""
    started, pause, seen_on_the_way = time.monotonic(), waiting.poll_every, False
    asked = False
    while True:
        status = model.deployment_status or "unknown"
        if waiting.on_status:
            await invoke(waiting.on_status, model)
        if status == goal or (seen_on_the_way and status in undone):
            return model
        seen_on_the_way = seen_on_the_way or status == on_the_way
        # A status from before the first request may be of the deployment before this one.
        gone_wrong = status == "error" and asked
        fallen_back = seen_on_the_way and status not in (on_the_way, "unknown")
        if gone_wrong or fallen_back:
            raise DeploymentError(
                f"{model.id} did not become {goal}: its deployment is {status}.",
                model_id=model.id,
                status=status,
                hint="The hub's page of the model may say why.",
            )
        if time.monotonic() - started + pause > waiting.timeout:
            raise DeploymentError(
                f"{model.id} is still {status} after {waiting.timeout:g} seconds; "
                f"it may yet become {goal}.",
                model_id=model.id,
                status=status,
                hint=f"client.catalog.get({model.id!r}, live=True) tells.",
            )
        await sleep(pause)
        pause = min(pause * 1.5, max(_SLOWEST_POLL, waiting.poll_every))
        model = await _ask_again(paths, model)
        asked = True


async def _ask_again(paths: Paths, model: Model) -> Model:
    try:
        return await send(get_call(paths, model.id, live=True))
    except OxenError as error:
        if not error.is_retryable:
            raise
        return model
