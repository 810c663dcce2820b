"""A chat of one's own in one module: a room over TCP, for `nc 127.0.0.1 7777`.

Who connects says a name, then commands such as `/generate a red ball`. To serve it, put this folder
on PYTHONPATH and name it in the config:

    [bot]
    platforms = ["line_chat:make"]

The port is LINE_CHAT_PORT. It believes who people say they are, so it listens here only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from pathlib import Path

from bot.config.sections import Config
from bot.platform import Outgoing, Receipt, Remember, Services
from commands.caller import Caller, Channel
from commands.forms import Form
from commands.run import execute, press
from commands.text.card import Card, plain
from commands.text.messages import text
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job

NAME = "lines"


def make(config: Config) -> LineChat:
    """Return the chat; `bot.registry` calls this."""
    port = int(os.environ.get("LINE_CHAT_PORT", "7777"))
    return LineChat(config.bot.data_dir / NAME, port)


class NoImages:
    """There is no way to attach an image to a line."""

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        """Refuse; see `ImageSource`."""
        raise UserError("image.fetch_failed")


class LineChat:
    """One room; what was posted is kept in a folder, so that nothing is posted twice."""

    name = NAME

    def __init__(self, directory: Path, port: int) -> None:
        self.images = NoImages()
        self.port = port
        self._directory = directory
        self.connected = False
        self._people: set[Writer] = set()

    async def run(self, services: Services) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            server = await asyncio.start_server(
                lambda *ends: tasks.create_task(self._serve(services, *ends)) and None,
                "127.0.0.1",
                self.port,
            )
            async with server:
                self.port, self.connected = server.sockets[0].getsockname()[1], True
                try:
                    await server.serve_forever()
                finally:
                    self.connected = False

    async def _serve(self, services: Services, reader: Reader, writer: Writer) -> None:
        """Talk with one person until they go."""
        self._people.add(writer)
        try:
            with contextlib.suppress(OSError, ValueError):  # they have gone, or sent no lines
                await self._talk(services, reader, writer)
        finally:
            self._people.discard(writer)
            writer.close()

    async def _talk(self, services: Services, reader: Reader, writer: Writer) -> None:
        name = (await reader.readline()).decode(errors="replace").strip() or "somebody"
        while line := (await reader.readline()).decode(errors="replace").strip():
            call = services.call(
                caller=Caller(id=name, name=name),
                channel=Channel(
                    platform=NAME, tenant=f"{NAME}:room", address={}, id="room", private=False
                ),
                locale=services.language,
                key=None,
            )
            command, _, button = line.partition(" ")
            answer = await (press(button, call) if command == "/press" else execute(line, call))
            if isinstance(answer, Form):
                writer.write((text("terminal.form", call.locale) + "\n").encode())
            elif not answer.from_outbox:  # that comes by `post`
                writer.write(_written(answer))

    async def upload_limit(self, job: Job) -> int:
        """Return how many bytes a file may have."""
        return 2**30

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Tell everybody, once; a file is copied beside the record."""
        if await self.find(message) is None:
            await asyncio.to_thread(self._keep, message)
            self._tell(message.card)
        return {"key": message.key}

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Tell everybody how it stands now."""
        if await self.find(message) is None:
            raise DeliveryError("delivery.thread_gone", transient=False)
        self._tell(message.card)

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete the record and the file; that they were told cannot be taken back."""
        for path in self._directory.glob(f"{job.id}*"):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def find(self, message: Outgoing) -> Receipt | None:
        """Look whether a message was posted."""
        posted = await asyncio.to_thread(self._record(message).exists)
        return {"key": message.key} if posted else None

    def _record(self, message: Outgoing) -> Path:
        return self._directory / f"{message.job.id}.{message.kind}.json"

    def _keep(self, message: Outgoing) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if (file := message.card.attachment) is not None:
            shutil.copyfile(file.path, self._directory / file.name)
        self._record(message).write_text(json.dumps({"text": plain(message.card)}))

    def _tell(self, card: Card) -> None:
        for writer in self._people:
            writer.write(_written(card))


def _written(card: Card) -> bytes:
    lines = [plain(card), *(f"[{one.label}] /press {one.id}" for one in card.buttons)]
    if card.attachment is not None:
        lines.append(f"file: {card.attachment.name}")
    return ("\n".join(lines) + "\n").encode()
