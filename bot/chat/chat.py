"""The terminal chat: type as in Discord or Slack, with the queue in the bottom rows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from dataclasses import replace
from datetime import tzinfo

from prompt_toolkit import PromptSession
from prompt_toolkit.filters import shift_selection_mode
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style
from rich.console import Console

from bot import factories
from bot.chat.completion import CommandCompleter
from bot.chat.script import Script, lines_of
from bot.chat.server import GONE, Server, open_server
from bot.chat.session import Session
from bot.config.sections import Config
from bot.control.client import Posted, QueueChanged, Speaker, Words
from bot.registry import Registry
from bot.terminal.render import CardView, local_zone, toolbar
from commands.text.card import Card, CardKind
from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.outbox import ActKind
from inference.tasks import running

TOOLBAR_ROWS = 3

REFRESH_SECONDS = 0.5

_STYLE = Style.from_dict({"bottom-toolbar": "noreverse fg:ansicyan", "speaker": "bold"})


async def chat(config: Config, speaker: Speaker, *, wait: bool) -> int:
    """Run the interactive chat until `/quit`, in this process or connected to the one that serves.

    Args:
        config: Says where the data is; used in full if no process serves it yet.
        speaker: Who talks first.
        wait: Whether a script waits for its jobs.

    Raises:
        UserError: The config cannot work, or the other side went away.
        StoreError: Another process owns the data and does not answer.
    """
    async with open_server(config) as server:
        # The views wrap what should be wrapped; a path must stay whole to be clicked and copied.
        console, zone = Console(soft_wrap=True, highlight=False), local_zone()
        if not sys.stdin.isatty():
            script = Script(server, speaker, console, zone)
            return 0 if await script.run(lines_of(sys.stdin), wait=wait) else 1
        installation = factories.describe_installation(config)
        commands = Registry.load(factories.load_plugins(config)).commands(installation.options)
        conversation = Conversation(server, speaker, console, zone)
        conversation.prompt.completer = CommandCompleter(
            commands, installation, lambda: conversation.words
        )
        await conversation.run()
        return 0


class Conversation:
    """The interactive chat."""

    def __init__(self, server: Server, speaker: Speaker, console: Console, zone: tzinfo) -> None:
        self._server = server
        self._session = Session(server.client, speaker)
        self._prefilled = ""
        self._selected = False
        """Whether what is typed takes the place of `_prefilled`."""
        self._unanswered: tuple[str, str] | None = None
        """A line and its key, until it is answered."""
        self._console = console
        self._zone = zone
        self._queue: tuple[Card, ...] = ()
        self.words = Words()
        """Names that completion offers, as they are now."""
        self.prompt: PromptSession[str] = PromptSession(
            message=self._message,
            bottom_toolbar=self._toolbar,
            complete_while_typing=True,
            reserve_space_for_menu=6,
            refresh_interval=REFRESH_SECONDS,
            style=_STYLE,
            key_bindings=_keys(),
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )

    async def run(self) -> None:
        """Read and run lines until `/quit` or the end of input.

        When the process that served the queue goes, this one serves it.
        """
        locale = self._session.speaker.language
        self._say(text("chat.welcome", locale), style="dim")
        with patch_stdout(raw=True):
            while await self._talk_on():
                pass
        if self._server.own and self._queue:
            self._say(text("chat.kept", locale, count=len(self._queue)))

    async def _talk_on(self) -> bool:
        """Run `_talk`, and connect again when the serving process has ended; no job is lost."""
        try:
            return await self._talk()
        except ExceptionGroup as group:
            if self._server.own or not _is_gone(group):
                raise
        if await self._server.take_over():
            self._say(text("chat.took_over", self._session.speaker.language), style="dim")
        return True

    async def _talk(self) -> bool:
        """Handle the input of one guild; return whether to continue in another."""
        guild = self._session.speaker.guild
        async with running() as tasks:
            tasks.start(self._follow(), name="chat-events")
            while self._session.speaker.guild == guild:
                with contextlib.suppress(UserError):  # an older version lacks them
                    self.words = await self._server.client.words(self._session.speaker)
                if self._unanswered is None:
                    try:
                        line = await self.prompt.prompt_async(
                            default=self._prefilled, pre_run=self._select
                        )
                    except KeyboardInterrupt:
                        self._prefilled = ""
                        continue
                    except EOFError:
                        return False
                    except asyncio.CancelledError:
                        self._prefilled = self.prompt.default_buffer.text
                        raise
                    finally:
                        self._selected = False
                    self._prefilled = ""
                    if not line.strip():
                        continue
                    self._unanswered = line, secrets.token_hex(8)
                # Sent again under the same key after a takeover: carried out once.
                line, key = self._unanswered
                outcome = await self._session.handle(line, key=key)
                self._unanswered = None
                if outcome.quit:
                    return False
                if outcome.card is not None and not outcome.posted:
                    self._show(outcome.card)
                    # What is offered is pressed by its number.
                    self._selected = bool(outcome.card.buttons)
                self._prefilled = outcome.line
        return True

    async def _follow(self) -> None:
        """Print what is posted, and keep the toolbar up to date."""
        async for event in self._server.client.events(self._session.speaker):
            match event:
                case QueueChanged(cards=cards):
                    self._queue = cards
                    self.prompt.app.invalidate()
                case Posted() if _newsworthy(event):
                    self._show(event.card)

    def _select(self) -> None:
        """Select what the input opens with, as Shift and an arrow key would."""
        buffer = self.prompt.default_buffer
        if self._selected and buffer.text:
            buffer.cursor_position = 0
            buffer.start_selection()
            if buffer.selection_state is not None:
                buffer.selection_state.enter_shift_mode()
            buffer.cursor_position = len(buffer.text)

    def _show(self, card: Card) -> None:
        number = self._session.number_buttons(card)
        # The line itself opens in the input.
        shown = replace(card, lines=card.lines[:-1]) if card.line else card
        self._console.print(CardView(shown, zone=self._zone, number=number))
        self._console.print()

    def _say(self, words: str, style: str = "") -> None:
        """Print a sentence, wrapped between words."""
        self._console.print(words, style=style, soft_wrap=False)

    def _message(self) -> FormattedText:
        speaker = self._session.speaker
        return FormattedText([("class:speaker", f"{speaker.name}@{speaker.guild}"), ("", " > ")])

    def _toolbar(self) -> str:
        size = self.prompt.app.output.get_size()
        if not self._queue:
            return " " + text("chat.idle", self._session.speaker.language)
        return toolbar(self._queue, zone=self._zone, columns=size.columns, rows=TOOLBAR_ROWS)


def _keys() -> KeyBindings:
    """Return the keys that move within a selected line; only arrow keys do without these."""
    bindings = KeyBindings()

    @bindings.add("c-a", filter=shift_selection_mode)
    @bindings.add("c-e", filter=shift_selection_mode)
    @bindings.add("c-b", filter=shift_selection_mode)
    @bindings.add("c-f", filter=shift_selection_mode)
    def _unselect(event: KeyPressEvent) -> None:
        event.current_buffer.exit_selection()
        event.key_processor.feed(event.key_sequence[0], first=True)

    return bindings


def _is_gone(group: ExceptionGroup[Exception]) -> bool:
    """Return whether the only errors are that the serving process has ended."""
    _gone, others = group.split(lambda each: isinstance(each, UserError) and each.code in GONE)
    return others is None


def _newsworthy(posted: Posted) -> bool:
    """Return whether to print a message: the toolbar shows cards of unfinished jobs."""
    if posted.kind in {ActKind.CLIP, ActKind.NOTICE, ActKind.SHEET}:
        return not posted.edited
    return posted.edited and posted.card.kind is CardKind.STOPPED
