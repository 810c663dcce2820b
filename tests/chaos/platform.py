"""Adapters for the witness, loaded by the real process: `tests.chaos.platform:nonce`, `:upload`.

They keep the rules that adapters of real chats must keep; see `bot.platform.Platform`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from bot.config.sections import Config
from bot.platform import Outgoing, Receipt, Remember, Services
from commands.caller import Caller, Channel
from commands.context import Call
from commands.run import execute
from commands.text.card import Card, plain
from inference import crash_points
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job
from inference.domain.outbox import Route
from inference.jobs.input_files import ImageSource

ADDRESS = "RUSHES_WITNESS"
"""Environment variable with the witness's URL."""

THREAD_EXISTS = 160004

_TIMEOUT = aiohttp.ClientTimeout(total=15)


def nonce(_: Config) -> Nonce:
    """Make the adapter for the chat that takes nonces."""
    return Nonce("nonce", os.environ[ADDRESS])


def upload(_: Config) -> Upload:
    """Make the adapter for the chat that takes files in three steps."""
    return Upload("upload", os.environ[ADDRESS])


class _Wire:
    """Requests to one chat, with what they answer translated."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def call(self, method: str, path: str, **how: Any) -> Any:
        """Return the answer's JSON.

        Raises:
            DeliveryError: The chat refused, or could not be reached.
        """
        async with self.open(method, path, **how) as response:
            return await response.json()

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, path: str, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer; see `call`."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(method, f"{self._url}/{path}", **how) as response,
            ):
                if not response.ok:
                    raise await _refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError("chat.unreachable", transient=True) from error


async def _refusal(response: aiohttp.ClientResponse) -> DeliveryError:
    if response.status == 413:
        return DeliveryError("delivery.too_large", transient=False)
    code = (await response.json()).get("code")
    if response.status == 429 or response.status >= 500:
        wait = response.headers.get("Retry-After")
        return DeliveryError(
            "chat.busy", transient=True, retry_after=None if wait is None else float(wait)
        )
    return DeliveryError("chat.refused", transient=False, status=response.status, reason=code)


class _Images:
    """Fetches the reference images of one chat."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    async def fetch(self, job: Job, image: str, target: Path) -> None:
        """Write the bytes; see `ImageSource`."""
        try:
            async with self._wire.open("GET", f"images/{image}") as response:
                data = await response.read()
        except DeliveryError as error:
            raise UserError("image.fetch_failed") from error
        await asyncio.to_thread(target.write_bytes, data)


class _Chat:
    """What both adapters do alike."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._wire = _Wire(f"{url}/{name}")
        self.images: ImageSource = _Images(self._wire)

    @property
    def connected(self) -> bool:
        """Whether people can reach it; there is no connection to lose. See `Platform`."""
        return True

    async def run(self, services: Services) -> None:
        """Answer what lies in the inbox, until cancelled; see `Platform`."""
        while True:
            try:
                for command in await self._wire.call("GET", "inbox"):
                    card = await execute(command["text"], self._call(services, command))
                    answer = {"text": plain(card), "kind": card.kind.value, "job": card.job}
                    await self._wire.call("POST", f"inbox/{command['id']}/answer", json=answer)
            except DeliveryError:
                await asyncio.sleep(0.1)

    async def upload_limit(self, job: Job) -> int:
        """Ask what the chat says it takes; see `Platform`."""
        limit: int = (await self._wire.call("GET", "limit"))["bytes"]
        return limit

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Bring a message to its newest state; see `Platform`."""
        said = {"kind": message.card.kind.value, "content": _content(message)}
        await self._wire.call("PATCH", f"messages/{receipt['message']}", json=said)

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Refuse: neither chat takes a message back; see `Platform`."""
        raise DeliveryError("chat.refused", transient=False, status=405, reason="no deletion")

    async def _say(self, channel: str, message: Outgoing, file: Path | None = None) -> Receipt:
        said = aiohttp.FormData(default_to_multipart=True)
        said.add_field("key", message.key)
        said.add_field("kind", message.card.kind.value)
        said.add_field("content", _content(message))
        if file is not None:
            data = await asyncio.to_thread(file.read_bytes)
            said.add_field("file", data, filename=_file_name(message.card))
        sent = await self._wire.call("POST", f"channels/{channel}/messages", data=said)
        return {"message": sent["id"]}

    def _call(self, services: Services, command: dict[str, Any]) -> Call:
        return Call(
            caller=Caller(
                id=command["user"], name=command["user"], operator=bool(command["operator"])
            ),
            channel=Channel(
                platform=self.name,
                tenant=f"{self.name}:{command['guild']}",
                id=command["channel"],
                address={"channel": command["channel"], "user": command["user"]},
                private=False,
            ),
            jobs=services.jobs,
            installation=services.installation,
            policy=services.policy,
            commands=services.commands,
            options={"image": command["image"]} if command["image"] else {},
            locale=services.language,
            key=f"{self.name}:{command['id']}",
        )


class Nonce(_Chat):
    """Idempotent for a moment, searchable for ever."""

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post with the key as nonce, the file with it; see `Platform`."""
        return await self._say(await self._place(message), message, message.file)

    async def find(self, message: Outgoing) -> Receipt | None:
        """Search the place where it would be; see `Platform`."""
        place = await self._place(message)
        found = await self._wire.call(
            "GET", f"channels/{place}/messages", params={"contains": message.key}
        )
        return {"message": found[0]["id"]} if found else None

    async def _place(self, message: Outgoing) -> str:
        """Return the channel or thread, which is made if it is not there."""
        if message.route is not Route.THREAD:
            return _channel(message)
        head = _head(message)
        try:
            crash_points.point("before:nonce_thread")
            await self._wire.call("POST", f"messages/{head}/thread")
            crash_points.point("after:nonce_thread")
        except DeliveryError as error:
            if error.params.get("reason") != THREAD_EXISTS:
                raise
        return head


class Upload(_Chat):
    """Three steps to a file; only a file can be asked after. Its history is not read."""

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a text at once, a file by its three steps; see `Platform`."""
        place = _head(message) if message.route is Route.THREAD else _channel(message)
        if message.file is None:
            return await self._say(place, message)
        file_id = message.trace.get("file_id")
        if file_id is None:
            file_id = await self._fill(message.card, message.file)
            crash_points.point("before:upload_remember")
            await remember({"file_id": file_id})
        crash_points.point("before:upload_complete")
        said = {"channel": place, "content": _content(message)}
        await self._wire.call("POST", f"files/{file_id}/complete", json=said)
        crash_points.point("after:upload_complete")
        return {"file": file_id}

    async def find(self, message: Outgoing) -> Receipt | None:
        """Ask after the file; see `Platform`."""
        file_id = message.trace.get("file_id")
        if file_id is None:
            return None
        file = await self._wire.call("GET", f"files/{file_id}")
        return {"file": file_id} if file["shared"] else None

    async def _fill(self, card: Card, file: Path) -> str:
        crash_points.point("before:upload_reserve")
        reserved = await self._wire.call("POST", "files", json={"name": _file_name(card)})
        crash_points.point("before:upload_bytes")
        data = await asyncio.to_thread(file.read_bytes)
        await self._wire.call("PUT", reserved["upload_url"], data=data)
        return str(reserved["file_id"])


def _content(message: Outgoing) -> str:
    return f"{plain(message.card)}\n{message.key}"


def _file_name(card: Card) -> str | None:
    return card.attachment.name if card.attachment else None


def _channel(message: Outgoing) -> str:
    address = message.job.address
    return f"dm-{address['user']}" if message.route is Route.DIRECT else str(address["channel"])


def _head(message: Outgoing) -> str:
    """Return the message that the thread hangs on.

    Raises:
        DeliveryError: The card was never posted, so there is none.
    """
    head = (message.card_receipt or {}).get("message")
    if head is None:
        raise DeliveryError("chat.no_thread", transient=False)
    return str(head)
