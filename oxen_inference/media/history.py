"""Reading the hub's list of past generations, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from oxen_inference import queue
from oxen_inference.errors import NotFoundError
from oxen_inference.generation import TERMINAL, Generation
from oxen_inference.paths import Paths
from oxen_inference.transport import Call

MOST_ROWS = 1000  # in one page


async def read_history(
    get: Callable[[Call[Any]], Awaitable[Any]],
    paths: Paths,
    is_enough: Callable[[Sequence[Generation]], bool],
    *,
    max_pages: int,
    page_size: int | None = None,
    **filters: Any,
) -> bool:
    """Pass pages of rows to `is_enough` until it says so, and return True; False where more pages
    are left than may be read.

    A hub without a history lists ended jobs by status. Raises `NotFoundError` where it has neither.
    """
    for number in range(1, max_pages + 1):
        call = queue.generations_call(
            paths, page=number, page_size=page_size or MOST_ROWS, **filters
        )
        try:
            page = await get(call)
        except NotFoundError:
            for status in sorted(TERMINAL):
                if is_enough(await get(queue.list_call(paths, status=status, **filters))):
                    break
            return True
        if is_enough(page.generations) or page.is_last:
            return True
    return False
