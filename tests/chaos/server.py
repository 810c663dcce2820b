"""The witness: a chat on loopback that outlives the bot and remembers every request.

It knows nothing of Rushes. It plays the two hard cases, each under its own name:

`nonce`   a message sent again within a short window is the earlier message; later it would be a
          second one, so whoever is not sure has to search first.
`upload`  a file is reserved, filled and completed; completing it twice shows it twice.

Both hand out commands again and again until they are answered: an answer is what people call
"accepted".
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from tests.chaos.records import Command, File, Message, Seen, State, Trouble
from tests.fakes.rushes_process import wait_limit

NONCE_SECONDS = 1.5
"""How long an equal nonce is the same message."""

POLL_SECONDS = 5.0
"""Longest wait of one look into the inbox."""

FILE_BYTES = 10 * 2**20
"""Largest file that is taken, unless a test says otherwise."""

THREAD_EXISTS = 160004
"""What Discord says to a second thread on one message."""

T = TypeVar("T")

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset instead of a farewell."""


class Witness:
    """The chat: what was asked, what was said, and what went wrong on the way."""

    def __init__(self, directory: Path, *, nonce_seconds: float = NONCE_SECONDS) -> None:
        self.url = ""
        self.commands: list[Command] = []
        self.messages: list[Message] = []
        self.requests: list[Seen] = []
        self.images: dict[str, bytes] = {}
        self.claimed_bytes = FILE_BYTES
        """What the chat says that it takes."""
        self.file_bytes = FILE_BYTES
        """What it really takes."""
        self._directory = directory
        self._nonce_seconds = nonce_seconds
        self._troubles: list[Trouble] = []
        self._threads: set[str] = set()
        self._files: dict[str, File] = {}
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()

    # -- what tests do -----------------------------------------------------------------------

    def say(self, place: str, text: str, **how: Any) -> Command:
        """Type a command; it is handed out until the bot answers it."""
        guild = how.pop("guild", "g1")
        command = Command(
            id=f"i{next(self._ids)}",
            place=place,
            guild=guild,
            channel=how.pop("channel", f"c-{guild}"),
            user=how.pop("user", "ann"),
            text=text,
            asked_at=time.monotonic(),
            **how,
        )
        self.commands.append(command)
        return command

    def trouble(self, pattern: str, *, times: float = 1, **what: Any) -> Trouble:
        """Make matching requests go wrong, `times` times; see `Trouble`."""
        trouble = Trouble(pattern=re.compile(pattern), left=times, **what)
        self._troubles.append(trouble)
        return trouble

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait for a condition on what was seen; return whether it came true in time."""
        with contextlib.suppress(TimeoutError):
            async with wait_limit(seconds), self._changed:
                await self._changed.wait_for(condition)
        return bool(condition())

    async def answered(self, command: Command, seconds: float = 180.0) -> dict[str, Any]:
        """Wait for the answer to a command."""
        assert await self.until(lambda: command.answer, seconds), f"no answer to {command.text}"
        assert command.answer is not None
        return command.answer

    def cards(self, job: str) -> list[Message]:
        """Return the job's cards: one, if all is well."""
        return [message for message in self.messages if message.key == f"{job}:card"]

    def card(self, job: str) -> Message | None:
        """Return the job's card that is kept up to date."""
        return max(self.cards(job), key=lambda card: card.latest.at, default=None)

    def clips(self, job: str) -> list[Message]:
        """Return the messages that brought a file of the job."""
        return [m for m in self.messages if m.file and m.file.partition(".")[0] == job]

    def sheets(self, job: str) -> list[Message]:
        """Return the messages with one picture of all stills that were asked for together."""
        return [message for message in self.messages if message.file == f"{job}-sheet.jpg"]

    def notices(self, job: str) -> list[Message]:
        """Return the messages that told how the job ended without a clip.

        Those of the jobs that were asked for with it are in the thread of its card. Of several that
        ended for the same reason one tells for all.
        """
        threads = {card.id for card in self.cards(job)}
        return [
            message
            for message in self.messages
            if message.key == f"{job}:notice"
            or (message.channel in threads and (message.key or "").endswith(":notice"))
        ]

    def ended(self, job: str, words: str = "") -> bool:
        """Return whether people have seen the end of a job, message and card.

        Args:
            job: Its id.
            words: Of the prompt, if several were asked for together: then as many files with these
                words must be there as the card says that there are.
        """
        card = self.card(job)
        match card.latest.kind if card else None:
            case "done" if words and card is not None:
                made = card.latest.content.count("ready in")
                files = {m.file for m in self.messages if m.file and words in m.latest.content}
                return len(files - {f"{job}-sheet.jpg"}) >= made
            case "done":
                return bool(self.clips(job))
            case "failed":
                return bool(self.notices(job))
            case "stopped":
                return True
            case _:
                return False

    def open(self) -> list[Command]:
        """Return the commands without an answer, or whose job people have not seen end."""
        return [
            c for c in self.commands if not c.answer or (c.job and not self.ended(c.job, c.words))
        ]

    # -- routes ------------------------------------------------------------------------------

    def application(self) -> web.Application:
        """Return the HTTP side."""
        self._directory.mkdir(parents=True, exist_ok=True)
        application = web.Application(middlewares=[self._record], client_max_size=2**28)
        application.add_routes(
            [
                web.get("/{place}/inbox", self._inbox),
                web.post("/{place}/inbox/{id}/answer", self._answer),
                web.get("/{place}/images/{name}", self._image),
                web.get("/{place}/limit", self._limit),
                web.post("/{place}/channels/{channel}/messages", self._post),
                web.get("/nonce/channels/{channel}/messages", self._search),
                web.patch("/{place}/messages/{id}", self._edit),
                web.post("/nonce/messages/{id}/thread", self._thread),
                web.post("/upload/files", self._reserve),
                web.put("/upload/files/{id}/bytes", self._fill),
                web.post("/upload/files/{id}/complete", self._complete),
                web.get("/upload/files/{id}", self._ask),
            ]
        )
        return application

    async def _inbox(self, request: web.Request) -> web.Response:
        place = request.match_info["place"]
        end = time.monotonic() + POLL_SECONDS
        while time.monotonic() < end:
            waiting = [c for c in self.commands if c.place == place and c.answer is None]
            if waiting:
                fields = ("id", "guild", "channel", "user", "text", "image", "operator")
                return web.json_response(
                    [{name: getattr(command, name) for name in fields} for command in waiting]
                )
            await asyncio.sleep(0.02)
        return web.json_response([])

    async def _answer(self, request: web.Request) -> web.Response:
        [command] = [c for c in self.commands if c.id == request.match_info["id"]]
        if command.answer is None:
            command.answer, command.answered_at = await request.json(), time.monotonic()
        return web.json_response({})

    async def _image(self, request: web.Request) -> web.Response:
        return web.Response(body=_known(self.images.get(request.match_info["name"])))

    async def _limit(self, _: web.Request) -> web.Response:
        return web.json_response({"bytes": self.claimed_bytes})

    async def _post(self, request: web.Request) -> web.Response:
        place, channel = request.match_info["place"], request.match_info["channel"]
        self._check(place, channel)
        said = await request.post()
        key, content, kind = (str(said[name]) for name in ("key", "content", "kind"))
        file = said.get("file")
        data = file.file.read() if isinstance(file, web.FileField) else b""
        if len(data) > self.file_bytes:
            raise web.HTTPRequestEntityTooLarge(self.file_bytes, len(data))
        if place == "nonce":
            oldest = time.monotonic() - self._nonce_seconds
            for message in self.messages:
                if message.key == key and message.states[0].at > oldest:
                    return web.json_response({"id": message.id})
        message = self._show(place, channel, content, kind, key=key)
        if isinstance(file, web.FileField):
            message.file, message.path = file.filename, self._keep(data)
        return web.json_response({"id": message.id})

    async def _search(self, request: web.Request) -> web.Response:
        channel, words = request.match_info["channel"], request.query["contains"]
        self._check("nonce", channel)
        found = [m for m in self.messages if m.channel == channel and words in m.latest.content]
        return web.json_response([{"id": message.id} for message in found])

    async def _edit(self, request: web.Request) -> web.Response:
        message = _known(self._message(request.match_info["id"]))
        said = await request.json()
        state = State(at=time.monotonic(), kind=said["kind"], content=said["content"])
        message.states.append(state)
        return web.json_response({})

    async def _thread(self, request: web.Request) -> web.Response:
        message = _known(self._message(request.match_info["id"]))
        if message.id in self._threads:
            return web.json_response({"code": THREAD_EXISTS}, status=400)
        self._threads.add(message.id)
        return web.json_response({"id": message.id})

    async def _reserve(self, request: web.Request) -> web.Response:
        name = (await request.json())["name"]
        identity = f"F{next(self._ids)}"
        self._files[identity] = File(name=name)
        return web.json_response({"file_id": identity, "upload_url": f"files/{identity}/bytes"})

    async def _fill(self, request: web.Request) -> web.Response:
        file, data = _known(self._files.get(request.match_info["id"])), await request.read()
        if len(data) > self.file_bytes:
            raise web.HTTPRequestEntityTooLarge(self.file_bytes, len(data))
        file.path = self._keep(data)
        return web.json_response({})

    async def _complete(self, request: web.Request) -> web.Response:
        file, said = _known(self._files.get(request.match_info["id"])), await request.json()
        if file.path is None:
            return web.json_response({"error": "empty"}, status=400)
        self._check("upload", said["channel"])
        message = self._show("upload", said["channel"], said["content"], "clip")
        message.file, message.path = file.name, file.path
        file.shared.append(message.id)
        return web.json_response({})

    async def _ask(self, request: web.Request) -> web.Response:
        file = _known(self._files.get(request.match_info["id"]))
        return web.json_response({"shared": bool(file.shared)})

    # -- how ---------------------------------------------------------------------------------

    def _check(self, place: str, channel: str) -> None:
        """Refuse a place that is not there; a reply to any message is a thread on `upload`."""
        if channel.startswith(("c-", "dm-")) or channel in self._threads:
            return
        if place == "nonce" or self._message(channel) is None:
            raise web.HTTPNotFound

    def _show(
        self, place: str, channel: str, content: str, kind: str, *, key: str | None = None
    ) -> Message:
        state = State(at=time.monotonic(), kind=kind, content=content)
        message = Message(
            id=f"m{next(self._ids)}", place=place, channel=channel, key=key, states=[state]
        )
        self.messages.append(message)
        return message

    def _message(self, identity: str) -> Message | None:
        return next((message for message in self.messages if message.id == identity), None)

    def _keep(self, data: bytes) -> Path:
        path = self._directory / hashlib.sha256(data).hexdigest()
        path.write_bytes(data)
        return path

    @web.middleware
    async def _record(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        trouble = next((t for t in self._troubles if t.left > 0 and t.pattern.search(what)), None)
        response: web.StreamResponse
        try:
            if trouble is None:
                response = await handler(request)
            else:
                trouble.left -= 1
                response = await self._spoil(trouble, request, handler)
        except web.HTTPException as error:
            response = web.json_response({}, status=error.status)
        self.requests.append(Seen(at=time.monotonic(), what=what, status=response.status))
        async with self._changed:
            self._changed.notify_all()
        return response

    async def _spoil(
        self, trouble: Trouble, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        response: web.StreamResponse = web.json_response({}, status=trouble.status or 503)
        if trouble.taken:
            response = await handler(request)
        await asyncio.sleep(trouble.slow_seconds)
        if trouble.reset and request.transport is not None:
            wire: socket.socket = request.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            request.transport.abort()
        if trouble.status is not None:
            response = web.json_response({}, status=trouble.status)
        if trouble.retry_after is not None:
            response.headers["Retry-After"] = str(trouble.retry_after)
        return response


def _known(thing: T | None) -> T:
    if thing is None:
        raise web.HTTPNotFound
    return thing


@contextlib.asynccontextmanager
async def witness(
    directory: Path, *, nonce_seconds: float = NONCE_SECONDS
) -> AsyncIterator[Witness]:
    """Watch on a free port of this machine, keeping what is posted in `directory`."""
    seen = Witness(directory, nonce_seconds=nonce_seconds)
    runner = web.AppRunner(seen.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        seen.url = f"http://127.0.0.1:{port}"
        yield seen
    finally:
        await runner.cleanup()
