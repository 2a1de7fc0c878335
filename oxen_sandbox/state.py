"""What the hub remembers: accounts, jobs and money, moved on by its clock."""

import heapq
import itertools
import random
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oxen_sandbox.clock import Clock
from oxen_sandbox.faults import Fault
from oxen_sandbox.media_files import Shape, shape_of, with_defaults
from oxen_sandbox.models import JSON
from oxen_sandbox.pricing import media_cost
from oxen_sandbox.wire import Rejected, invalid_params, not_found

ACTIVE = ("queued", "processing")
STATUSES = (*ACTIVE, "succeeded", "failed", "cancelled")
_PLENTY = Decimal(1_000_000)
_QUEUED_SHARE = 0.2  # of a job's seconds
_ENVELOPE = {"model", "num_generations"}  # consumed by the queue itself, not echoed in rows


@dataclass
class Settings:
    """How the hub behaves; every value may be changed while it runs. Seconds are hub seconds."""

    image_seconds: float = 0.1
    video_seconds: float = 0.2
    audio_seconds: float = 0.1
    deploy_seconds: float = 0.2
    url_seconds: float = 3600.0
    keepalive_seconds: float = 15.0  # real seconds
    cost_delay_seconds: float = 0.0  # a finished row's cost appears this much later
    presigned_urls: bool = False  # results on another origin, without auth
    strict_cancel: bool = False  # DELETE of a finished job is a 400
    bill_canceled: bool = False
    private_results: bool = False  # providers, which have no key, cannot fetch the hub's files
    record: bool = True  # keep requests in `Sandbox.requests`

    def seconds_for(self, media_type: str) -> float:
        """How long one generation takes."""
        return float(getattr(self, f"{media_type}_seconds"))


@dataclass(eq=False)
class Account:
    """One user of the hub and the key to call with."""

    key: str = field(repr=False)
    namespace: str
    user_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    credits: Decimal = _PLENTY
    favorites: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Charge:
    """Money taken: `kind` is `queue`, `direct` (synchronous media) or `chat`."""

    kind: str
    model: str
    cost: Decimal | None
    namespace: str
    at: float
    generation_id: str | None = None


@dataclass(eq=False)
class Job:
    """One generation of the queue, from the moment it was accepted."""

    generation_id: str
    account: Account = field(repr=False)
    entry: JSON = field(repr=False)
    """The catalog's entry of the model."""
    media_type: str
    params: JSON
    enqueued_at: float
    ends_at: float
    status: str = "queued"
    started_at: float | None = None
    completed_at: float | None = None
    error_message: str | None = None
    cost: Decimal | None = None
    shape: Shape | None = None
    fault: Fault | None = None

    @property
    def model(self) -> str:
        """The model's id."""
        return str(self.entry["id"])


class State:
    """Jobs move queued → processing → succeeded, failed or cancelled as the clock passes."""

    def __init__(
        self,
        clock: Clock,
        settings: Settings,
        check: Callable[[Mapping[str, Any] | None, JSON], str | None],
        on_finished: Callable[[Job], None],
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.jobs: dict[str, Job] = {}
        self.charges: list[Charge] = []
        self._check = check
        self._on_finished = on_finished
        self._due: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._ids = random.Random()  # noqa: S311 - ids need to be unique, not secret

    def reset(self) -> None:
        """Forget jobs and money; accounts keep their keys."""
        with self.lock:
            self.jobs.clear()
            self.charges.clear()
            self._due.clear()
            for account in self.accounts.values():
                account.credits = _PLENTY
                account.favorites.clear()

    def accept(
        self,
        account: Account,
        model: JSON,
        media_type: str,
        body: JSON,
        faults: Iterable[Fault | None],
    ) -> list[Job]:
        """Enqueue one job for each of `faults` (None: an honest job)."""
        params = {name: value for name, value in body.items() if name not in _ENVELOPE}
        jobs = []
        with self.lock:
            now = self.clock.now()
            for fault in faults:
                seconds = self.settings.seconds_for(media_type)
                if fault and fault.action == "slow_job":
                    seconds = fault.seconds or 0.0
                elif fault and fault.action == "stall_job":
                    seconds = float("inf")
                starts = now + (seconds * _QUEUED_SHARE if seconds < float("inf") else 0)
                identity = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
                job = Job(
                    identity,
                    account,
                    model,
                    media_type,
                    params,
                    now,
                    now + seconds,
                    fault=fault,
                )
                self.jobs[identity] = job
                self._push(starts, job)
                jobs.append(job)
        return jobs

    def advance(self) -> float:
        """Apply every change that is due; returns when the next one is."""
        with self.lock:
            now = self.clock.now()
            while self._due and self._due[0][0] <= now:
                at, _, job = heapq.heappop(self._due)
                if job.status == "queued":
                    self._start(job, at)
                elif job.status == "processing":
                    self._finish(job, at)
            return self._due[0][0] if self._due else float("inf")

    def find(self, account: Account, generation_id: str) -> Job:
        """The account's job, as it stands now, or a 404 `Rejected`."""
        self.advance()
        job = self.jobs.get(generation_id)
        if job is None or job.account is not account:
            raise not_found(f"Generation not found: {generation_id}")
        return job

    def select(
        self, account: Account, filters: Mapping[str, str], *, active_only: bool
    ) -> list[Job]:
        """The account's jobs that pass the filters, newest first."""
        self.advance()
        with self.lock:
            jobs = [job for job in reversed(self.jobs.values()) if job.account is account]
        status = filters.get("status")
        wanted = (status,) if status else ACTIVE if active_only else STATUSES
        return [job for job in jobs if job.status in wanted and _passes(job, filters)]

    def cancel(self, account: Account, generation_id: str) -> Job:
        """Cancel a job that is not finished; a finished one is left as it is."""
        with self.lock:
            job = self.find(account, generation_id)
            if job.status in ACTIVE:
                job.status = "cancelled"
                job.completed_at = self.clock.now()
                if self.settings.bill_canceled:
                    self._bill(job)
            elif self.settings.strict_cancel:
                raise Rejected(
                    400, "Generation is already finished.", "invalid_params", shape="oxen"
                )
            return job

    def charge(
        self,
        account: Account,
        kind: str,
        model: str,
        cost: Decimal | None,
        generation_id: str | None = None,
    ) -> None:
        """Take money and write it down."""
        with self.lock:
            self.charges.append(
                Charge(kind, model, cost, account.namespace, self.clock.now(), generation_id)
            )
            account.credits -= cost or 0

    def quote(self, model: JSON, media_type: str, params: JSON) -> tuple[Shape, Decimal | None]:
        """The shape and cost of one generation; `Rejected` where no schema kept nonsense out."""
        full = with_defaults(model.get("request_schema"), params)
        try:
            shape = shape_of(media_type, model.get("request_schema"), full)
            return shape, media_cost(model, full, shape, self.settings.seconds_for(media_type))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise invalid_params(f"These parameters cannot be used: {error}") from None

    def _push(self, at: float, job: Job) -> None:
        heapq.heappush(self._due, (at, next(self._order), job))

    def _start(self, job: Job, at: float) -> None:
        job.status, job.started_at = "processing", at
        if job.fault and job.fault.action == "fail_job":
            job.error_message = job.fault.message
        else:
            job.error_message = self._check(job.entry.get("request_schema"), job.params)
        self._push(job.ends_at, job)

    def _finish(self, job: Job, at: float) -> None:
        job.completed_at = at
        if job.error_message is None:
            try:
                job.shape, cost = self.quote(job.entry, job.media_type, job.params)
            except Rejected as refusal:
                job.error_message = refusal.message
            else:
                if cost is not None and cost > job.account.credits:
                    job.error_message = "Insufficient credits"
        if job.error_message is None:
            job.status = "succeeded"
            self._bill(job)
        else:
            job.status = "failed"
        self._on_finished(job)

    def _bill(self, job: Job) -> None:
        if job.fault and job.fault.action == "price_job":
            job.cost = None if job.fault.cost is None else Decimal(job.fault.cost)
        else:
            job.cost = self.quote(job.entry, job.media_type, job.params)[1]
        self.charge(job.account, "queue", job.model, job.cost, job.generation_id)


def _passes(job: Job, filters: Mapping[str, str]) -> bool:
    held = {
        "namespace": job.params.get("target_namespace") or job.account.namespace,
        "model": job.model,
        "media_type": job.media_type,
        "repo": job.params.get("target_repo"),
        "folder": job.params.get("target_directory"),
    }
    return all(held[name] == value for name, value in filters.items() if name in held)
