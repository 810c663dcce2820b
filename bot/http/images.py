"""`/v1/images/generations`: stills, compatible with the `images` resource of OpenAI's API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from bot.http.access.guard import Guard
from bot.http.error_responses import error_json
from bot.http.shutdown import Shutdown
from bot.http.validation_errors import NO_SWITCH
from bot.http.videos import actions
from bot.http.videos.content import Content, Variant
from bot.http.videos.creation import Creation, PendingCreation
from bot.http.videos.events import changes
from bot.http.videos.option_values import options
from bot.http.videos.requests import CreateRequest, PromptRequest, Size, parse_request, pictures_of
from bot.http.videos.video_json import QUEUED, notes, status_of
from bot.platform import Services
from commands.context import Call
from commands.options import COUNT
from commands.results import Result
from commands.run import perform
from inference.domain.errors import RushesError, UserError
from inference.domain.job import Job, JobState

MOST = int(COUNT.range.highest) if COUNT.range is not None else 1


class ImageRequest(PromptRequest):
    """The body of `POST /v1/images/generations`."""

    model: str | None = None
    size: Size | Literal["auto"] | None = None
    n: Annotated[int, Field(ge=1, le=MOST), NO_SWITCH] = 1
    """How many, each with the next seed."""
    response_format: Literal["b64_json", "url"] = "b64_json"
    user: str | None = None
    """Taken and not used: the token says who asks."""


class Images:
    """Route of stills."""

    def __init__(
        self, services: Services, guard: Guard, creation: Creation, shutdown: Shutdown
    ) -> None:
        self._services = services
        self._creation = creation
        self._guard = guard
        self._content = Content(services)
        self._shutdown = shutdown

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.post("/v1/images/generations", self._generate)]

    async def _generate(self, request: web.Request) -> web.Response:
        first, form = await self._begin(request)
        call = self._guard.call(request)
        jobs = await call.jobs.together(first)
        jobs = await self._wait_for(call, jobs, keyed="Idempotency-Key" in request.headers)
        done = [job for job in jobs if status_of(job) != "failed"]
        if not done:
            raise _error(jobs[0])
        images = []
        for job in done:
            image: dict[str, Any] = {"revised_prompt": job.spec.prompt, "rushes": {"id": job.id}}
            if said := notes(job, self._services.installation, call.locale):
                image["rushes"]["notes"] = said
            if form == "url":
                image["url"] = f"{self._guard.base_url(request)}/v1/videos/{job.id}/content"
            else:
                data = await self._content.read(call, job, Variant.VIDEO)
                image["b64_json"] = base64.b64encode(data).decode()
            images.append(image)
        ended = max(job.ended_at or job.created_at for job in done)
        own: dict[str, Any] = {"id": done[0].id}
        if failed := [job for job in jobs if job not in done]:
            known = self._services.installation.options
            own["failed"] = [
                {"id": job.id, "error": error_json(_error(job), call.locale, options=known)}
                for job in failed
            ]
        return web.json_response({"created": int(ended), "data": images, "rushes": own})

    async def _begin(self, request: web.Request) -> tuple[Job, str]:
        """Return the first job of a request and the form of its answer; its body is let go."""
        async with self._creation.begin(request) as pending:
            asked = parse_request(ImageRequest, pending.fields)
            return await pending.job(self._make), asked.response_format

    async def _make(self, fields: dict[str, Any], call: Call, pending: PendingCreation) -> Result:
        asked = parse_request(ImageRequest, fields)
        video = CreateRequest(
            prompt=asked.prompt,
            model=asked.model,
            size=None if asked.size == "auto" else asked.size,
            rushes=asked.rushes,
        )
        installation = self._services.installation
        files = pictures_of(video.rushes, installation.options)
        values = options(video, installation)
        async with pending.turn(files) as pictures:
            asks = replace(call, options={**values, **pictures, COUNT.name: asked.n})
            return await perform(call.commands["/image"], asks)

    async def _wait_for(self, call: Call, jobs: Sequence[Job], *, keyed: bool) -> list[Job]:
        """Return jobs once all of them have ended.

        Args:
            call: Who waits.
            jobs: What is waited for.
            keyed: Whether the same request again would find them, and not make new ones.

        Raises:
            UserError: `http.stopping`: this process stops before that; the next one makes them.
        """
        ids = [job.id for job in jobs]
        renders = [asyncio.create_task(self._until_ended(call, id_)) for id_ in ids]
        ended = asyncio.gather(*renders)
        hopeless = asyncio.create_task(self._until_hopeless(call, ids))
        try:
            with contextlib.suppress(TimeoutError):
                async with self._shutdown.limit_wait():
                    await asyncio.wait((ended, hopeless), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            if hopeless.done():
                hopeless.result()  # an error is no answer
            raise UserError("http.stopping", ids=ids, again=keyed)
        finally:
            for task in (*renders, hopeless):
                task.cancel()
            await asyncio.gather(ended, *renders, hopeless, return_exceptions=True)

    async def _until_hopeless(self, call: Call, ids: Sequence[str]) -> None:
        """Wait until one of these jobs will not begin in this process, because it stops."""
        await self._services.jobs.stopping.wait()
        jobs = [await actions.find(call, job_id) for job_id in ids]
        if not any(job.state in QUEUED for job in jobs):  # those that run may still end
            await asyncio.Event().wait()

    async def _until_ended(self, call: Call, job_id: str) -> Job:
        """Return a job once it has ended."""
        found = changes(
            job_id,
            events=self._services.events,
            read=lambda: actions.find(call, job_id),
            show=lambda job: {"state": job.state},
        )
        async with contextlib.aclosing(found):
            async for _ in found:
                pass
        return await actions.find(call, job_id)


def _error(job: Job) -> RushesError:
    """Return why there is no image."""
    if job.failure is not None:
        return UserError(job.failure.code, **job.failure.params)
    if job.state is JobState.CANCELLED:
        return UserError("job.cancelled")
    return RushesError("internal", job=job.id)
