"""Routes of `/v1/videos`, compatible with the `videos` resource of OpenAI's clients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from bot.http.access.guard import Guard
from bot.http.shutdown import Shutdown
from bot.http.videos import actions
from bot.http.videos.content import Content, Variant
from bot.http.videos.creation import Creation, Make, PendingCreation
from bot.http.videos.events import deletion, send_events
from bot.http.videos.option_values import options, own_options
from bot.http.videos.requests import (
    CreateRequest,
    EditRequest,
    ExtendRequest,
    RemixRequest,
    image_bytes,
    parse_request,
    pictures_of,
    unknown_field,
)
from bot.http.videos.video_json import video_json
from bot.platform import Services
from commands import forms
from commands.context import Call
from commands.handlers import repeat
from commands.options import IMAGE, PROMPT
from commands.parsing.flags import render_options
from commands.parsing.quotes import escape
from commands.results import Result
from commands.run import perform
from commands.schema import Value
from inference.domain.errors import NotFound, UserError
from inference.domain.job import Job

MAX_PAGE = 100
PAGE = 20

_VIDEO = r"/v1/videos/{video:(?!(?:edits|extensions)$)[^{}/]+}"
"""Path of one video; other routes are left out, so that `Allow` tells the truth about those."""


class Videos:
    """Routes of videos."""

    def __init__(
        self,
        services: Services,
        guard: Guard,
        creation: Creation,
        *,
        files_seconds: float,
        shutdown: Shutdown,
    ) -> None:
        self._services = services
        self._shutdown = shutdown
        self._creation = creation
        self._guard = guard
        self._files_seconds = files_seconds
        self._content = Content(services)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/videos", self._create),
            web.get("/v1/videos", self._list),
            web.post("/v1/videos/edits", self._edit),
            web.post("/v1/videos/extensions", self._extend),
            # OpenAI's characters are not supported.
            web.route("*", "/v1/videos/characters", no_route),
            web.get(_VIDEO, self._retrieve),
            web.delete(_VIDEO, self._delete),
            web.post("/v1/videos/{video}/remix", self._remix),
            web.get("/v1/videos/{video}/content", self._download),
            web.get("/v1/videos/{video}/events", self._events),
        ]

    # -- making ------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        async def create(fields: dict[str, Any], call: Call, pending: PendingCreation) -> Result:
            asked = parse_request(CreateRequest, fields)
            installation = self._services.installation
            files = pictures_of(asked.rushes, installation.options)
            values = options(asked, installation)
            if asked.input_reference is not None:
                files[IMAGE.name] = image_bytes(asked.input_reference)
            named = {IMAGE.name: "input_reference"}
            async with pending.turn(files, fields=named) as images:
                asks = replace(call, options={**values, **images})
                return await perform(call.commands["/generate"], asks)

        return await self._made(request, create)

    async def _remix(self, request: web.Request) -> web.Response:
        async def remix(fields: dict[str, Any], call: Call, pending: PendingCreation) -> Result:
            asked = parse_request(RemixRequest, fields)
            return await self._change(call, pending, request.match_info["video"], asked)

        return await self._made(request, remix)

    async def _edit(self, request: web.Request) -> web.Response:
        async def edit(fields: dict[str, Any], call: Call, pending: PendingCreation) -> Result:
            asked = parse_request(EditRequest, fields)
            return await self._change(call, pending, asked.video.id, asked)

        return await self._made(request, edit)

    async def _change(
        self, call: Call, pending: PendingCreation, video: str, asked: RemixRequest | EditRequest
    ) -> Result:
        """Make a finished video again with other words and options."""
        job = await actions.find_finished(call, video)
        known = self._services.installation.options
        files = pictures_of(asked.rushes, known)
        form = forms.edit(job, self._services.installation, call.locale)
        kept: dict[str, Value] = forms.read_options(
            {field.name: field.value for field in form.fields}, known
        )
        works = self._services.installation.find_options(job.spec.model)
        kept |= own_options(asked.rushes, known, works=works)
        del kept[PROMPT.name]
        values = {PROMPT.name: escape(asked.prompt), forms.FLAGS: render_options(kept, known)}
        async with pending.turn(files) as pictures:
            return await repeat.edit(call, job, values, pictures=pictures)

    async def _extend(self, request: web.Request) -> web.Response:
        async def extend(fields: dict[str, Any], call: Call, pending: PendingCreation) -> Result:
            asked = parse_request(ExtendRequest, fields)
            for name in asked.rushes:  # all else is as in the clip before
                raise unknown_field(name, ["prompt", "video", "seconds"], within="rushes.")
            job = await actions.find_finished(call, asked.video.id)
            async with pending.turn():
                return await actions.extend(call, job, prompt=asked.prompt, seconds=asked.seconds)

        return await self._made(request, extend)

    async def _made(self, request: web.Request, make: Make) -> web.Response:
        async with self._creation.begin(request) as pending:
            job = await pending.job(make)
        return self._video(request, job)

    # -- looking -----------------------------------------------------------------------------

    async def _retrieve(self, request: web.Request) -> web.Response:
        job = await actions.find(self._guard.call(request), request.match_info["video"])
        return self._video(request, job)

    async def _list(self, request: web.Request) -> web.Response:
        limit = _limit(request)
        order = _choice(request, "order", ("desc", "asc"))
        call = self._guard.call(request)
        after = request.query.get("after") or None
        if after is not None:
            after = (await call.job(actions.job_id(after))).id
        jobs = await self._services.jobs.after(
            call.channel.tenant, call.caller.id, after, oldest_first=order == "asc", limit=limit + 1
        )
        page = [self._json(job, call.locale) for job in jobs[:limit]]
        return web.json_response(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(jobs) > limit,
            }
        )

    async def _download(self, request: web.Request) -> web.StreamResponse:
        variant = Variant(_choice(request, "variant", tuple(Variant)))
        call = self._guard.call(request)
        job = await actions.find_finished(call, request.match_info["video"])
        return await self._content.response(request, call, job, variant)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        call = self._guard.call(request)
        job = await actions.find(call, request.match_info["video"])
        return await send_events(
            request,
            job,
            events=self._services.events,
            read=lambda: actions.find(call, job.id),
            show=lambda job: self._json(job, call.locale),
            shutdown=self._shutdown,
        )

    # -- ending ------------------------------------------------------------------------------

    async def _delete(self, request: web.Request) -> web.Response:
        call = self._guard.call(request)
        job = await actions.find(call, request.match_info["video"])
        await actions.delete(call, job, self._services.jobs)
        return web.json_response(deletion(job.id))

    # -- how ---------------------------------------------------------------------------------

    def _video(self, request: web.Request, job: Job) -> web.Response:
        return web.json_response(self._json(job, self._guard.locale(request)))

    def _json(self, job: Job, locale: str) -> dict[str, Any]:
        return video_json(job, self._services, locale=locale, files_seconds=self._files_seconds)


async def no_route(_: web.Request) -> web.StreamResponse:
    """Say that there is nothing here. Raises `NotFound`: `http.no_route`."""
    raise NotFound("http.no_route")


def _limit(request: web.Request) -> int:
    given = request.query.get("limit", str(PAGE))
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= MAX_PAGE:
        raise UserError("http.range", field="limit", lowest=1, highest=MAX_PAGE)
    return int(given)


def _choice(request: web.Request, name: str, legal: tuple[str, ...]) -> str:
    given = request.query.get(name, legal[0])
    if given not in legal:
        raise UserError("http.choice", field=name, known=[str(one) for one in legal])
    return given
