"""One hub: everything it knows, apart from how it is reached over HTTP."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from oxen_sandbox.chat_replies import Replies
from oxen_sandbox.clock import Clock
from oxen_sandbox.faces import Face, face_called
from oxen_sandbox.faults import Faults
from oxen_sandbox.files import Files
from oxen_sandbox.media_checks import has_inline_face, problem
from oxen_sandbox.models import Catalog
from oxen_sandbox.state import Account, Job, Settings, State
from oxen_sandbox.streams import Events

API_KEY = "oxen-sandbox-key"
"""The key of the first account, unless told otherwise: tests and `.env` files may name it."""


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived: JSON parsed where it was JSON, authorization redacted."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    json: Any
    time: float


class Hub:
    """The catalog, accounts, jobs, faults and scripted replies, and the requests seen so far."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        api_key: str | None = None,
        face: Face | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.face = face or face_called("live")
        self.models = Catalog(live=self.face.live_entries)
        self.faults = Faults()
        self.replies = Replies()
        self.events = Events()
        self.requests: list[Recorded] = []
        self.changed = asyncio.Event()  # the scheduler looks again
        self.state = State(clock, settings, self.wrong_with, self._on_finished)
        self.files = Files(clock, settings, self.state.jobs.get)
        self.account = self.add_account("ox-lab", api_key or API_KEY)
        self._shipped = Settings(**{f.name: getattr(settings, f.name) for f in fields(Settings)})

    @property
    def origin(self) -> str:
        """`http://host:port`, once it is served."""
        return self.files.hub_origin

    def add_account(self, namespace: str, key: str | None = None) -> Account:
        """Add a user with a key of its own."""
        account = Account(key or f"sandbox-{secrets.token_hex(12)}", namespace)
        self.state.accounts[account.key] = account
        return account

    def reset(self) -> None:
        """Back to how the hub started: models, settings, jobs, money, faults, replies, requests."""
        self.faults.clear()
        self.replies.clear()
        self.state.reset()
        self.models.reset()
        self.files.reset()
        self.events.drop()
        self.requests.clear()
        for setting in fields(Settings):
            setattr(self.settings, setting.name, getattr(self._shipped, setting.name))

    async def run_clock(self) -> None:
        """Move jobs on at the moment each change is due, so that events go out in time."""
        while True:
            due = self.state.advance()
            await self.clock.sleep_until(due, self.changed)
            self.changed.clear()

    def wrong_with(self, schema: Mapping[str, Any] | None, params: dict[str, Any]) -> str | None:
        """What the model says is wrong with its parameters, or None."""
        wraps = self.face.wraps_errors
        found = problem(schema, params)
        if found is not None:
            return f"Getting model response error: 422 - Value error, {found}" if wraps else found
        if wraps and has_inline_face(params):
            return "unsupported_url_scheme"
        missing = self.files.missing_input(schema, params)
        if missing is None:
            return None
        name, url = missing
        if not wraps:
            return f"{name}: the file could not be downloaded"
        return f"Getting model response error: 400 - 403 Client Error: Forbidden for url: {url}"

    def _on_finished(self, job: Job) -> None:
        path = "/api/events"
        if self.faults.draw("event", "GET", path):
            return
        data: dict[str, Any] = {
            "generation_id": job.generation_id,
            "status": job.status,
            "media_type": job.media_type,
            "model": job.model,
        }
        if job.status == "succeeded":
            data["url"] = self.files.url(job.generation_id, job.account.namespace)
        else:
            data["error"] = job.error_message
        self.events.publish("media_generation_completed", data, job.account)
