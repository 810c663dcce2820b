"""Script mode of the chat: runs every line of a pipe or file, then waits for its jobs."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import tzinfo
from functools import partial
from typing import TextIO, TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bot.chat.server import GONE, Server
from bot.chat.session import Session
from bot.control.client import Speaker
from bot.terminal.render import CardView, toolbar
from commands.text.card import Card
from inference.domain.errors import NotFound, UserError
from inference.domain.job import JobState

Answered = TypeVar("Answered")

POLL_SECONDS = 0.2
"""Between two looks at the jobs that are still awaited."""

MAX_ROWS = 5
"""Jobs whose progress is shown while waiting."""

WENT_WELL = frozenset({JobState.DONE.value, JobState.CANCELLED.value})
"""Ends that are no failure; a cancelled job was cancelled on purpose."""


class Script:
    """Runs lines and prints their answers."""

    def __init__(self, server: Server, speaker: Speaker, console: Console, zone: tzinfo) -> None:
        self._server = server
        self._session = Session(server.client, speaker)
        self._console = console
        self._zone = zone
        self._awaited: dict[str, Speaker] = {}

    async def run(self, lines: AsyncIterator[str], *, wait: bool) -> bool:
        """Run all lines; return whether none was refused and no job failed.

        Args:
            lines: Empty ones and those that begin with `#` are skipped.
            wait: Whether to wait for the jobs, and count their failures.

        Raises:
            UserError: `control.*`: the other side is gone.
        """
        well = True
        async for line in lines:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            speaker = self._session.speaker
            self._console.print(f"{speaker.name}@{speaker.guild}> {line.strip()}", markup=False)
            # With a key, a line that is sent again is carried out once.
            handle = partial(self._session.handle, line, key=secrets.token_hex(8))
            outcome = await self._ask(handle)
            if outcome.quit:
                break
            well = well and outcome.accepted
            self._awaited |= dict.fromkeys(outcome.unfinished, self._session.speaker)
            if outcome.card is not None and not (outcome.posted and wait):
                self._print(outcome.card)
        return await self._wait() and well if wait else well

    async def _wait(self) -> bool:
        well = True
        with Live(console=self._console, transient=True) as live:
            while self._awaited:
                unfinished: list[Card] = []
                for job_id, speaker in list(self._awaited.items()):
                    try:
                        report = await self._ask(partial(self._server.client.job, job_id, speaker))
                    except NotFound:  # a later line of the script made it forgotten
                        del self._awaited[job_id]
                        continue
                    # In a script, nobody can approve a prompt in review.
                    if report.settled or report.state == JobState.REVIEW:
                        del self._awaited[job_id]
                        well = well and report.state in WENT_WELL
                        self._print(report.result or report.card)
                        if report.sheet and self._awaited.keys().isdisjoint(report.together):
                            self._print(report.sheet)
                    else:
                        unfinished.append(report.card)
                if unfinished:
                    self._show_queue(live, unfinished)
                    await asyncio.sleep(POLL_SECONDS)
        return well

    async def _ask(self, ask: Callable[[], Awaitable[Answered]]) -> Answered:
        """Ask the serving process; if it has ended, ask the one that takes over."""
        while True:
            try:
                return await ask()
            except UserError as error:
                if self._server.own or error.code not in GONE:
                    raise
            await self._server.take_over()

    def _show_queue(self, live: Live, cards: list[Card]) -> None:
        """Show the queue in a terminal; a file or pipe gets only what happened."""
        if self._console.is_terminal:
            columns = self._console.width
            live.update(Text(toolbar(cards, zone=self._zone, columns=columns, rows=MAX_ROWS)))

    def _print(self, card: Card) -> None:
        self._session.forget()  # a script counts the buttons of the newest card
        self._session.number_buttons(card)
        self._console.print(CardView(card, zone=self._zone))
        self._console.print()


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
    """Yield the lines of a stream as they arrive.

    The reading thread is a daemon: a stream without an end does not hold up the process's end.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        try:
            for line in stream:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, "")
        except RuntimeError:
            pass  # the loop was closed: the rest is not wanted

    threading.Thread(target=read, daemon=True, name="script").start()
    while line := await queue.get():
        yield line
