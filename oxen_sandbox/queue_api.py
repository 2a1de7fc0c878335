"""`/queue` and `/generations`: enqueue, poll, cancel, browse."""

from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from oxen_sandbox.hub import Hub
from oxen_sandbox.media_checks import WrongModality, media_model
from oxen_sandbox.state import STATUSES, Account, Job
from oxen_sandbox.wire import invalid_params, json_body

_MAX_PAGE = 1000


class QueueApi:
    """Handlers over `hub.state.jobs`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def create(self, request: Request) -> Response:
        """POST /queue"""
        body, account = json_body(request.scope), _account(request)
        kinds = {"image", "video", "audio"} if self._hub.face.queues_audio else {"image", "video"}
        try:
            model, kind, count = media_model(self._hub.models, account, body, kinds)
        except WrongModality:
            if not self._hub.face.wraps_errors:
                raise
            refusal = {"generations": [], "error": {"detail": "unsupported_media_type"}}
            return JSONResponse(refusal)
        path = request.url.path
        faults = [self._hub.faults.draw("job", "POST", path) for _ in range(count)]
        jobs = self._hub.state.accept(account, model, kind, body, faults)
        self._hub.changed.set()
        return JSONResponse({
            "generations": [{"generation_id": job.generation_id, "status": job.status} for job in jobs]
        })  # fmt: skip

    async def active(self, request: Request) -> Response:
        """GET /queue"""
        jobs = self._visible(request, self._select(request, active_only=True))
        return JSONResponse({"count": len(jobs), "generations": [self._row(job) for job in jobs]})

    async def show(self, request: Request) -> Response:
        """GET /queue/:id"""
        return JSONResponse(self._row(self._find(request)))

    async def cancel(self, request: Request) -> Response:
        """DELETE /queue/:id"""
        job = self._hub.state.cancel(_account(request), request.path_params["generation_id"])
        return JSONResponse({"status": "success", "generation_id": job.generation_id})

    async def history(self, request: Request) -> Response:
        """GET /generations"""
        page, size = _number(request, "page", 1), _number(request, "page_size", 50)
        if size > _MAX_PAGE:
            raise invalid_params(f"page_size must be at most {_MAX_PAGE}")
        jobs = self._visible(request, self._select(request, active_only=False))
        costs = [cost for job in jobs if (cost := self._cost(job)) is not None]
        shown = jobs[(page - 1) * size : page * size]
        return JSONResponse({
            "count": len(shown),
            "generations": [self._full_row(job) for job in shown],
            "page_number": page,
            "page_size": size,
            "total_pages": max(1, -(-len(jobs) // size)),
            "total_entries": len(jobs),
            "total_cost": _decimal(sum(costs, Decimal(0))) if costs else None,
        })  # fmt: skip

    async def details(self, request: Request) -> Response:
        """GET /generations/:id"""
        row = self._full_row(self._find(request))
        return JSONResponse(
            {"status": "success", "generation": row, "status_message": "resource_found"}
        )

    async def legacy_status(self, request: Request) -> Response:
        """GET /media/generations/status/:namespace/*model"""
        filters = {
            "namespace": request.path_params["namespace"],
            "model": request.path_params["model"],
        }
        jobs = self._hub.state.select(_account(request), filters, active_only=False)
        return JSONResponse({"count": len(jobs), "generations": [self._row(job) for job in jobs]})

    def _find(self, request: Request) -> Job:
        return self._hub.state.find(_account(request), request.path_params["generation_id"])

    def _select(self, request: Request, *, active_only: bool) -> list[Job]:
        filters = {name: value for name, value in request.query_params.items() if value}
        if filters.get("status", "queued") not in STATUSES:
            raise invalid_params(f"status must be one of {', '.join(STATUSES)}")
        return self._hub.state.select(_account(request), filters, active_only=active_only)

    def _visible(self, request: Request, jobs: list[Job]) -> list[Job]:
        fault = self._hub.faults.draw("rows", "GET", request.url.path)
        if fault is None:
            return jobs
        if fault.seconds is None:
            return []
        latest = self._hub.clock.now() - fault.seconds
        return [job for job in jobs if job.enqueued_at <= latest]

    def _cost(self, job: Job) -> Decimal | None:
        """What the job cost, once the hub shows it."""
        shown_at = (job.completed_at or 0) + self._hub.settings.cost_delay_seconds
        return job.cost if self._hub.clock.now() >= shown_at else None

    def _row(self, job: Job) -> dict[str, Any]:
        """The submitted parameters, overridden by the row's own fields."""
        url = None
        if job.status == "succeeded":
            url = self._hub.files.url(job.generation_id, job.account.namespace)
        own: dict[str, Any] = {
            "generation_id": job.generation_id,
            "model_name": job.model,
            "media_type": job.media_type,
            "status": job.status,
            "result_url": url,
            "error_message": job.error_message if job.status == "failed" else None,
            "enqueued_at": int(job.enqueued_at),
            "started_at": None if job.started_at is None else int(job.started_at),
            "completed_at": None if job.completed_at is None else int(job.completed_at),
            "target_namespace": job.params.get("target_namespace") or job.account.namespace,
            "target_repo": job.params.get("target_repo"),
            "target_directory": job.params.get("target_directory"),
        }
        under = None
        if url and job.fault and job.fault.action == "nest_result":
            under = job.fault.under or f"{job.media_type}s[].url"
        elif url and job.media_type == "audio":
            under = "audio.url"
        if under is not None:
            own.update({"result_url": None, **_nested(under, url)})
        return {**job.params, **own}

    def _full_row(self, job: Job) -> dict[str, Any]:
        cost = self._cost(job)
        return {
            **self._row(job),
            "cost": None if cost is None else _decimal(cost),
            "user_id": job.account.user_id,
            "username": job.account.namespace,
            "user_image": None,
        }


def _nested(under: str, url: str | None) -> dict[str, Any]:
    """`{"video": {"url": url}}` for `video.url`, `{"output": [url]}` for `output[]`."""
    name, _, inner = under.partition(".")
    value: Any = {inner: url} if inner else url
    return {name.removesuffix("[]"): [value] if name.endswith("[]") else value}


def _account(request: Request) -> Account:
    account: Account = request.scope["oxen.account"]
    return account


def _decimal(amount: Decimal) -> str:
    return format(amount, "f")


def _number(request: Request, name: str, default: int) -> int:
    try:
        number = int(request.query_params.get(name, default))
    except ValueError:
        number = 0
    if number < 1:
        raise invalid_params(f"{name} must be a positive integer")
    return number
