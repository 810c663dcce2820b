"""Attachments behind signed URLs that expire."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import mimetypes
import secrets

from aiohttp import web

from tests.fakes.discord.clock import Clock
from tests.fakes.discord.entities import Attachment, File

LIFE_SECONDS = 24 * 3600
"""How long a URL is good."""


class Cdn:
    """Keeps files, and hands them out by signed URL."""

    def __init__(self, clock: Clock) -> None:
        self.base_url = ""
        self.attachments: dict[int, Attachment] = {}
        self.fetched: list[str] = []
        """Paths that were asked for, with the status of the answer."""
        self.gate: asyncio.Event | None = None
        """Holds every download until it is set."""
        self.held = 0
        """Downloads that wait there."""
        self._key = secrets.token_bytes(16)
        self._clock = clock
        self._copies: dict[str, File] = {}

    def mount(self, application: web.Application) -> None:
        """Serve the files."""
        application.router.add_get(
            "/attachments/{channel_id:\\d+}/{attachment_id:\\d+}/{name}", self._get
        )
        application.router.add_get("/external/{signature}/https/{path:.*}", self._get_copy)

    def copy(self, file: File) -> str:
        """Return where Discord's proxy has a copy of a picture that somebody linked to."""
        path = f"/external/{secrets.token_urlsafe(16)}/https/example.org/{file.name}"
        self._copies[path] = file
        return f"{self.base_url}{path}"

    def url(self, attachment: Attachment) -> str:
        """Return a URL that is good from now on."""
        now = int(self._clock.now())
        name = attachment.file.name
        path = f"/attachments/{attachment.channel_id}/{attachment.id}/{name}"
        issued, expires = f"{now:x}", f"{now + LIFE_SECONDS:x}"
        return f"{self.base_url}{path}?ex={expires}&is={issued}&hm={self._sign(path, expires)}&"

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}{expires}".encode(), hashlib.sha256).hexdigest()

    async def _get(self, request: web.Request) -> web.Response:
        attachment = self.attachments.get(int(request.match_info["attachment_id"]))
        status = self._status(request, attachment)
        self.fetched.append(f"{status} {request.path}")
        if self.gate is not None:
            self.held += 1
            await self.gate.wait()
        if attachment is None or status != 200:
            return web.Response(status=status, text="This content is no longer available.")
        kind = mimetypes.guess_type(attachment.file.name)[0] or "application/octet-stream"
        return web.Response(body=attachment.file.data, content_type=kind)

    async def _get_copy(self, request: web.Request) -> web.Response:
        file = self._copies.get(request.path)
        self.fetched.append(f"{404 if file is None else 200} {request.path}")
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.data, content_type=file.content_type)

    def _status(self, request: web.Request, attachment: Attachment | None) -> int:
        expires = request.query.get("ex", "0")
        signed = hmac.compare_digest(request.query.get("hm", ""), self._sign(request.path, expires))
        if attachment is None or not signed:
            return 404
        return 200 if int(expires, 16) > self._clock.now() else 404
