"""A chat that is read from a pipe or a file: every line is carried out, then its jobs awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import tzinfo
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bot.chat.session import Session
from bot.control.client import ControlClient, Speaker
from bot.terminal.render import CardView, toolbar
from commands.text.card import Card
from inference.domain.job import JobState

POLL_SECONDS = 0.2
"""Between two looks at the jobs that are still awaited."""

MAX_ROWS = 5
"""Jobs whose progress is shown while waiting."""

WENT_WELL = frozenset({JobState.DONE.value, JobState.CANCELLED.value})
"""Ends that are no failure: what somebody cancelled is what they wanted."""


class Script:
    """Carries out lines and prints what comes of them."""

    def __init__(
        self, client: ControlClient, speaker: Speaker, console: Console, zone: tzinfo
    ) -> None:
        self._client = client
        self._session = Session(client, speaker)
        self._console = console
        self._zone = zone
        self._awaited: dict[str, Speaker] = {}

    async def run(self, lines: AsyncIterator[str], *, wait: bool) -> bool:
        """Carry out all lines; return whether none was refused and no job failed.

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
            heard = await self._session.hear(line)
            if heard.quit:
                break
            well = well and heard.accepted
            if heard.unfinished is not None:
                self._awaited[heard.unfinished] = self._session.speaker
            if heard.card is not None:
                self._print(heard.card)
        return await self._wait() and well if wait else well

    async def _wait(self) -> bool:
        well = True
        with Live(console=self._console, transient=True) as live:
            while self._awaited:
                unfinished: list[Card] = []
                for job_id, speaker in list(self._awaited.items()):
                    report = await self._client.job(job_id, speaker)
                    # Nobody is left to say the word that a review waits for.
                    if report.settled or report.state == JobState.REVIEW:
                        del self._awaited[job_id]
                        well = well and report.state in WENT_WELL
                        self._print(report.result or report.card)
                    else:
                        unfinished.append(report.card)
                if unfinished:
                    self._show_line(live, unfinished)
                    await asyncio.sleep(POLL_SECONDS)
        return well

    def _show_line(self, live: Live, cards: list[Card]) -> None:
        """Keep whoever watches in the picture; a file or pipe gets only what happened."""
        if self._console.is_terminal:
            columns = self._console.width
            live.update(Text(toolbar(cards, zone=self._zone, columns=columns, rows=MAX_ROWS)))

    def _print(self, card: Card) -> None:
        self._session.shown(card)
        self._console.print(CardView(card, zone=self._zone))
        self._console.print()


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
    """Yield the lines of a stream as they come in.

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
            pass  # the loop was closed: nobody wants the rest

    threading.Thread(target=read, daemon=True, name="script").start()
    while line := await queue.get():
        yield line
