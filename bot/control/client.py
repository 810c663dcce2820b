"""The client of the control socket, for the command line and the terminal chat."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from bot.control.card_json import card_from_json
from bot.control.socket_path import SOCKET_NAME, short_socket_path
from commands.text.card import Card
from inference.domain.errors import NotFound, UserError
from inference.domain.job import UNPREPARED
from inference.store.data_directory import no_permission

TIMEOUT_SECONDS = 60.0
"""For one answer; a command only writes to the database."""

LOOKS, LOOK_SECONDS = 20, 0.05
"""For a new job's position: it has one at once unless there is an image to fetch."""

POLL_SECONDS = 0.2
"""Between two looks at a job whose end is awaited."""

MAX_EVENT = 2**22
"""Bytes of one event: hundreds of cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The person at a terminal, with guild and channel."""

    name: str
    guild: str
    admin: bool = False
    roles: tuple[str, ...] = ()
    channel: str | None = None
    """None for the channel that all of the guild share."""
    language: str
    directory: Path
    """What relative paths are relative to."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields about the person that every request has."""
        return {
            "as": self.name,
            "guild": self.guild,
            "admin": self.admin,
            "roles": self.roles,
            "language": self.language,
            "directory": str(self.directory),
            **({} if self.channel is None else {"channel": self.channel}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer to a command or a press."""

    card: Card
    accepted: bool
    """False when the request itself was refused; the card says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """Status of a job, with its card and its file."""

    id: str
    state: str
    settled: bool
    """It has ended, and its requester was told."""
    card: Card
    result: Card | None
    """The message that ended it, as it was posted."""
    sheet: Card | None = None
    """The message with the picture of all that were asked for together, once posted."""
    together: tuple[str, ...] = ()
    """Ids of the jobs that were asked for with it, itself among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Answer of `GET /v1/health`."""

    ready: bool
    """What `/readyz` says."""
    reasons: Mapping[str, str]
    """Why not: one sentence by key."""
    platforms: tuple[str, ...]
    problems: Mapping[str, str]
    """One sentence by key, whether it is a reason or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message was posted, or edited."""

    kind: str
    edited: bool
    card: Card


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChanged:
    """The unfinished jobs of the guild, the running one first."""

    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Names that a person may type, for completion."""

    jobs: tuple[str, ...] = ()
    """Ids of their jobs, the newest first."""
    presets: tuple[str, ...] = ()


class ControlClient:
    """Client of the process that owns a data directory. Made by `connect`."""

    def __init__(self, session: aiohttp.ClientSession, data_directory: Path) -> None:
        self._session = session
        self._data_directory = data_directory

    async def health(self, language: str | None = None) -> Health:
        """Return whether the process is ready, and its problems.

        Args:
            language: Of its sentences; None for the process's own.

        Raises:
            UserError: `control.not_running` or `control.lost`.
        """
        query = {} if language is None else {"language": language}
        data = await self._json("GET", "/v1/health", params=query)
        return Health(
            # A process of before an update says nothing about it.
            ready=data.get("ready", True),
            reasons=data.get("reasons", {}),
            platforms=tuple(data["platforms"]),
            problems=data["problems"],
        )

    async def ready(self) -> bool:
        """Return whether the process answers."""
        try:
            await self.health()
        except UserError as error:
            if error.code == "control.not_running":
                return False
            raise
        return True

    async def command(self, text: str, speaker: Speaker, key: str | None = None) -> Answer:
        """Run a typed line.

        Args:
            text: The line.
            speaker: Who typed it.
            key: The same key is the same request, which is carried out once.

        Raises:
            UserError: `control.*`; what the command itself refuses is in the answer.
        """
        return await self._ask("/v1/commands", {**speaker.as_dict(), "text": text, "key": key})

    async def press(self, button_id: str, speaker: Speaker, key: str | None = None) -> Answer:
        """Press a button; see `command`."""
        body = {**speaker.as_dict(), "custom_id": button_id, "key": key}
        return await self._ask("/v1/buttons", body)

    async def confirm(self, button_id: str, speaker: Speaker) -> Answer:
        """Return the question before a button that deletes, or why it is refused; see `command`."""
        return await self._ask("/v1/confirmations", {**speaker.as_dict(), "custom_id": button_id})

    async def job(self, job_id: str, speaker: Speaker) -> JobReport:
        """Return the status of a job of the speaker's guild.

        Raises:
            NotFound: There is no such job (any more).
            UserError: `control.*`.
        """
        query = {"guild": speaker.guild, "language": speaker.language}
        data = await self._json("GET", f"/v1/jobs/{quote(job_id, safe='')}", params=query)
        return JobReport(
            id=data["id"],
            state=data["state"],
            settled=data["settled"],
            card=card_from_json(data["card"]),
            result=data["result"] and card_from_json(data["result"]),
            sheet=data.get("sheet") and card_from_json(data["sheet"]),
            together=tuple(data.get("together", ())),
        )

    async def words(self, speaker: Speaker) -> Words:
        """Return the words that completion offers. Raises as `command`."""
        data = await self._json("POST", "/v1/words", json=speaker.as_dict())
        return Words(jobs=tuple(data["jobs"]), presets=tuple(data["presets"]))

    async def past_preparing(self, job_id: str, speaker: Speaker) -> JobReport:
        """Return the status of a new job, after a short wait for its queue position; see `job`."""
        report = await self.job(job_id, speaker)
        for _ in range(LOOKS):
            if report.state not in UNPREPARED:
                break
            await asyncio.sleep(LOOK_SECONDS)
            report = await self.job(job_id, speaker)
        return report

    async def wait_until_settled(self, job_id: str, speaker: Speaker) -> JobReport:
        """Return the status of a job once it has ended and its requester was told; see `job`."""
        while True:
            report = await self.job(job_id, speaker)
            if report.settled:
                return report
            await asyncio.sleep(POLL_SECONDS)

    async def events(self, speaker: Speaker) -> AsyncIterator[Posted | QueueChanged]:
        """Yield the events of the speaker's guild as they happen.

        Raises:
            UserError: `control.*`; `control.lost` when the other side ends.
        """
        query = {"guild": speaker.guild, "language": speaker.language}
        no_end = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        with self._explain():
            async with self._session.get(
                "http://rushes/v1/events", params=query, timeout=no_end
            ) as response:
                _raise_for(await response.json() if response.status != 200 else {})  # noqa: PLR2004 - OK
                while line := await response.content.readuntil(b"\n"):
                    yield _event(json.loads(line))
        raise UserError("control.lost", path=str(self._data_directory))

    async def tools(self, speaker: Speaker) -> list[dict[str, Any]]:
        """Return the tools of MCP. Raises as `command`."""
        data = await self._json("POST", "/v1/tools", json=speaker.as_dict())
        tools: list[dict[str, Any]] = data["tools"]
        return tools

    async def tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        report: Callable[[float, str], Awaitable[None]],
        speaker: Speaker,
    ) -> dict[str, Any]:
        """Run a tool of MCP, and return its answer, which may be a refusal.

        Args:
            name: Of the tool.
            arguments: For it.
            report: Is told of progress: percent, and one line.
            speaker: Who asks.

        Raises:
            UserError: `control.*`.
        """
        no_end = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        route = f"http://rushes/v1/tools/{quote(name, safe='')}"
        body = {**speaker.as_dict(), "arguments": arguments}
        with self._explain():
            async with self._session.post(route, json=body, timeout=no_end) as response:
                _raise_for(await response.json() if response.status != 200 else {})  # noqa: PLR2004 - OK
                while line := await response.content.readuntil(b"\n"):
                    data = json.loads(line)
                    if "answer" in data:
                        answer: dict[str, Any] = data["answer"]
                        return answer
                    await report(data["percent"], data["line"])
        raise UserError("control.lost", path=str(self._data_directory))

    async def _ask(self, route: str, body: dict[str, Any]) -> Answer:
        data = await self._json("POST", route, json=body)
        return Answer(card=card_from_json(data["card"]), accepted="error" not in data)

    async def _json(self, method: str, route: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer's data; a refusal that brings a card is an answer as well."""
        with self._explain():
            async with self._session.request(
                method, f"http://rushes{route}", **arguments
            ) as response:
                data: dict[str, Any] = await response.json()
        if "card" not in data:
            _raise_for(data)
        return data

    @contextlib.contextmanager
    def _explain(self) -> Any:
        path = str(self._data_directory)
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == errno.EACCES:
                folder = self._data_directory
                reached = os.access(folder, os.X_OK)
                raise no_permission(folder / SOCKET_NAME if reached else folder) from error
            raise UserError("control.not_running", path=path) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UserError("control.lost", path=path) from error


@contextlib.asynccontextmanager
async def connect(data_directory: Path) -> AsyncIterator[ControlClient]:
    """Open a client for the process that owns a data directory, if one is there when it is used."""
    with short_socket_path(data_directory / SOCKET_NAME) as address:
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(address),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            read_bufsize=MAX_EVENT,
        ) as session:
            yield ControlClient(session, data_directory)


def _event(data: dict[str, Any]) -> Posted | QueueChanged:
    if data["event"] == "queue":
        return QueueChanged(cards=tuple(card_from_json(card) for card in data["cards"]))
    return Posted(kind=data["kind"], edited=data["edited"], card=card_from_json(data["card"]))


def _raise_for(data: dict[str, Any]) -> None:
    if "error" in data:
        if data["error"].get("code") == "job.unknown":
            raise NotFound("control.refused", text=data["error"]["text"])
        raise UserError("control.refused", text=data["error"]["text"])
