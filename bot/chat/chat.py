"""The terminal chat: type as in Discord or Slack, and watch the line in the bottom rows."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from datetime import tzinfo

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style
from rich.console import Console

from bot.chat.completion import CommandCompleter
from bot.chat.script import Script, lines_of
from bot.chat.session import Session
from bot.config.sections import Config
from bot.control.client import ControlClient, Posted, QueueChanged, Speaker, connect
from bot.terminal.render import CardView, local_zone, toolbar
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.domain.outbox import ActKind
from inference.tasks import running

TOOLBAR_ROWS = 3

REFRESH_SECONDS = 0.5

_STYLE = Style.from_dict({"bottom-toolbar": "noreverse fg:ansicyan", "speaker": "bold"})


async def chat(config: Config, speaker: Speaker, *, wait: bool) -> int:
    """Talk with the process that owns the data directory, or be that process.

    Args:
        config: Says where the data is; used in full if nobody serves it yet.
        speaker: Who talks first.
        wait: Whether a script waits for its jobs.

    Raises:
        UserError: The config cannot work, or the other side went away.
        StoreError: Another process owns the data and does not answer.
    """
    async with _client(config) as (client, own):
        # The views wrap what should be wrapped; a path must stay whole to be clicked and copied.
        console, zone = Console(soft_wrap=True, highlight=False), local_zone()
        if not sys.stdin.isatty():
            script = Script(client, speaker, console, zone)
            return 0 if await script.run(lines_of(sys.stdin), wait=wait) else 1
        conversation = Conversation(client, speaker, console, zone)
        await conversation.run(own=own)
        return 0


@contextlib.asynccontextmanager
async def _client(config: Config) -> AsyncIterator[tuple[ControlClient, bool]]:
    """Yield a client, and whether what it talks to lives and ends with us."""
    async with connect(config.bot.data_dir) as client:
        if await client.ready():
            yield client, False
            return
    # Only who serves needs all of it.
    from bot.app import open_app  # noqa: PLC0415
    from bot.control.server import serve_control  # noqa: PLC0415

    async with (
        open_app(config) as app,
        serve_control(app),
        connect(config.bot.data_dir) as client,
    ):
        yield client, True


class Conversation:
    """The interactive chat."""

    def __init__(
        self, client: ControlClient, speaker: Speaker, console: Console, zone: tzinfo
    ) -> None:
        self._client = client
        self._session = Session(client, speaker)
        self._console = console
        self._zone = zone
        self._line: tuple[Card, ...] = ()
        self._prompt: PromptSession[str] = PromptSession(
            message=self._message,
            bottom_toolbar=self._toolbar,
            completer=CommandCompleter(),
            complete_while_typing=True,
            reserve_space_for_menu=6,
            refresh_interval=REFRESH_SECONDS,
            style=_STYLE,
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )

    async def run(self, *, own: bool) -> None:
        """Talk until `/quit` or the end of input.

        Args:
            own: Whether the studio stops with the chat, which is then said at the end.
        """
        locale = self._session.speaker.language
        self._console.print(text("chat.welcome", locale), style="dim")
        with patch_stdout(raw=True):
            while await self._talk():
                pass
        if own and self._line:
            self._console.print(text("chat.kept", locale, count=len(self._line)))

    async def _talk(self) -> bool:
        """Talk in one guild; return whether the conversation goes on in another."""
        guild = self._session.speaker.guild
        async with running() as tasks:
            tasks.start(self._follow(), name="chat-events")
            while self._session.speaker.guild == guild:
                try:
                    line = await self._prompt.prompt_async()
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return False
                if not line.strip():
                    continue
                heard = await self._session.hear(line)
                if heard.quit:
                    return False
                if heard.card is not None:
                    self._show(heard.card)
        return True

    async def _follow(self) -> None:
        """Print what is posted, and keep the toolbar up to date."""
        async for event in self._client.events(self._session.speaker):
            match event:
                case QueueChanged(cards=cards):
                    self._line = cards
                    self._prompt.app.invalidate()
                case Posted() if _newsworthy(event):
                    self._show(event.card)

    def _show(self, card: Card) -> None:
        self._session.shown(card)
        self._console.print(CardView(card, zone=self._zone, numbered=True))
        self._console.print()

    def _message(self) -> FormattedText:
        speaker = self._session.speaker
        return FormattedText([("class:speaker", f"{speaker.name}@{speaker.guild}"), ("", " > ")])

    def _toolbar(self) -> str:
        size = self._prompt.app.output.get_size()
        if not self._line:
            return " " + text("chat.idle", self._session.speaker.language)
        return toolbar(self._line, zone=self._zone, columns=size.columns, rows=TOOLBAR_ROWS)


def _newsworthy(posted: Posted) -> bool:
    """Say whether a message is for the scrollback: cards in motion are in the toolbar."""
    if posted.kind in {ActKind.CLIP, ActKind.NOTICE}:
        return not posted.edited
    return posted.edited and posted.card.kind is CardKind.STOPPED
