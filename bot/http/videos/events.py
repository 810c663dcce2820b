"""Events of one job: its state whenever it changes, also as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.http.shutdown import Shutdown
from inference.domain.errors import NotFound
from inference.domain.events import EventBus, next_move
from inference.domain.job import Job

PACE_SECONDS = 0.2
"""Least time between two events."""

SILENCE_SECONDS = 15.0
"""After this a comment goes out, so that proxies keep the connection."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}

Show = Callable[[Job], dict[str, Any]]


async def changes(
    job_id: str, *, events: EventBus, read: Callable[[], Awaitable[Job]], show: Show
) -> AsyncGenerator[tuple[Job, dict[str, Any]] | None, None]:
    """Yield a job and what is shown of it whenever that changes, until it has ended.

    None comes where nothing happened for a while.

    Args:
        job_id: The job.
        events: Say that something changed.
        read: Reads the job.
        show: Makes what is compared.

    Raises:
        NotFound: It was deleted.
    """
    told: dict[str, Any] | None = None
    with events.subscribe() as moves:
        while True:
            job = await read()
            if (data := show(job)) != told:
                told = data
                yield job, data
            if job.ended:
                return
            await asyncio.sleep(PACE_SECONDS)
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await next_move(moves, (job_id,))
            except TimeoutError:
                yield None


async def send_events(
    request: web.Request,
    job: Job,
    *,
    events: EventBus,
    read: Callable[[], Awaitable[Job]],
    show: Show,
    shutdown: Shutdown,
) -> web.StreamResponse:
    """Answer with a stream that ends with the job, its deletion, its listener, or the server.

    Args:
        request: What is answered.
        job: What it is about.
        events: Say that something changed.
        read: Reads the job.
        show: Makes the data of an event.
        shutdown: Ends it with the server.
    """
    if request.method == "HEAD":
        return web.Response(headers=HEADERS)
    response = web.StreamResponse(headers=HEADERS)
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        found = changes(job.id, events=events, read=read, show=show)
        try:
            async with contextlib.aclosing(found), shutdown.limit_wait():
                async for change in found:
                    if change is None:
                        await response.write(b": waiting\n\n")
                    else:
                        await _send(response, change[1]["status"], change[1])
        except NotFound:
            await _send(response, "deleted", deletion(job.id))
        except TimeoutError:
            await response.write(b": restarting\n\n")
        await response.write_eof()
    return response


def deletion(job_id: str) -> dict[str, Any]:
    """Return the JSON of a deleted video."""
    return {"id": job_id, "object": "video.deleted", "deleted": True}


async def _send(response: web.StreamResponse, event: str, data: dict[str, Any]) -> None:
    await response.write(f"event: video.{event}\ndata: {json.dumps(data)}\n\n".encode())
