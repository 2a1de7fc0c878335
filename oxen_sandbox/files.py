"""Results as files: who may fetch them, under which URL, and until when."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from oxen_sandbox.clock import Clock
from oxen_sandbox.media_checks import inputs
from oxen_sandbox.media_files import Shape
from oxen_sandbox.state import Job, Settings
from oxen_sandbox.wire import Rejected, not_found

_REPO = "generations"


class Files:
    """Every result by id; it is rendered when it is first fetched."""

    def __init__(
        self, clock: Clock, settings: Settings, find_job: Callable[[str], Job | None]
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._find_job = find_job
        self._secret = secrets.token_bytes(16)
        self._direct: dict[str, tuple[Shape, str]] = {}
        self.hub_origin = ""
        self.storage_origin = ""

    def reset(self) -> None:
        """Forget the results of synchronous calls."""
        self._direct.clear()

    def keep(self, file_id: str, shape: Shape, text: str) -> None:
        """Remember a result that belongs to no job."""
        self._direct[file_id] = (shape, text)

    def url(self, file_id: str, namespace: str) -> str:
        """A URL to fetch the file with, good for `url_seconds` from now."""
        shape, _ = self._made(file_id)
        name = f"{file_id}.{shape.suffix}"
        expires = str(int((self._clock.now() + self._settings.url_seconds) * 1000))
        query = f"expires={expires}&signature={self._sign(name, expires).decode()}"
        if self._settings.presigned_urls:
            return f"{self.storage_origin}/storage/{name}?{query}"
        return (
            f"{self.hub_origin}/api/repos/{namespace}/{_REPO}/workspaces/{file_id}"
            f"/files/{name}?{query}"
        )

    def open(self, name: str, query: Mapping[str, str]) -> tuple[Shape, str]:
        """Shape and text of the file a URL names; raises `Rejected` if expired or unknown."""
        expires = query.get("expires", "")
        if not hmac.compare_digest(query.get("signature", "").encode(), self._sign(name, expires)):
            raise not_found("File not found")
        if int(expires) <= self._clock.now() * 1000:
            raise Rejected(403, "This URL has expired.")
        return self._made(name.partition(".")[0])

    def missing_input(
        self, schema: Mapping[str, Any] | None, params: Mapping[str, Any]
    ) -> tuple[str, str] | None:
        """Name and URL of an input that points here and cannot be fetched; else None."""
        for name, url in inputs((schema or {}).get("properties") or {}, params):
            if not self._reachable(url):
                return name, url
        return None

    def _reachable(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
            if origin == self.hub_origin and self._settings.private_results:
                return False
            if origin in {self.hub_origin, self.storage_origin}:
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                self.open(parts.path.rpartition("/")[2], query)
        except (Rejected, ValueError):
            return False
        return True

    def _made(self, file_id: str) -> tuple[Shape, str]:
        if file_id in self._direct:
            return self._direct[file_id]
        job = self._find_job(file_id)
        if job is None or job.shape is None:
            raise not_found("File not found")
        return job.shape, str(job.params.get("prompt") or job.model)

    def _sign(self, name: str, expires: str) -> bytes:
        message = f"{name}:{expires}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32].encode()
