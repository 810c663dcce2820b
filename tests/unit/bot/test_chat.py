"""The interactive chat: what stands in the input when it opens again."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC
from types import SimpleNamespace

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from bot.chat.chat import Conversation
from bot.control.client import Answer, Speaker, Words
from commands.actions import Action, ButtonId
from commands.text.card import Button, Card, CardKind

LINE = "/generate a fox --aspct 9:16"
OFFER = Button(
    key=ButtonId(action=Action.CHANGE, job="23456789AB", choice=0), label="--aspect 9:16"
)

END, CTRL_E, BACKSPACE, INTERRUPT = "\x1b[F", "\x05", "\x7f", "\x03"


SECONDS = 180.0


class Client:
    """Refuses every line, and takes every press."""

    def __init__(self):
        self.lines, self.pressed = [], []
        self.buttons = ()
        self.accepts = False

    async def words(self, speaker):
        return Words()

    async def events(self, speaker):
        await asyncio.Event().wait()
        yield

    async def command(self, line, speaker, key):
        self.lines.append(line)
        kind = CardKind.INFO if self.accepts else CardKind.ERROR
        card = Card(kind=kind, lines=(("No option --aspct.",),), buttons=self.buttons)
        return Answer(card=card, accepted=self.accepts)

    async def press(self, button_id, speaker, key):
        self.pressed.append(button_id)
        return Answer(card=Card(kind=CardKind.INFO, lines=(("Done.",),)), accepted=True)


class Keyboard:
    """Types into a chat, and sees what stands in its input."""

    def __init__(self, pipe, chat):
        self._pipe, self._chat = pipe, chat

    def type(self, keys):
        self._pipe.send_text(keys)

    async def shows(self, text):
        """Wait until the input is open with a text in it."""
        async with asyncio.timeout(SECONDS):
            while not (self._prompt.app.is_running and self._prompt.default_buffer.text == text):  # noqa: ASYNC110 - a screen
                await asyncio.sleep(0.01)

    @property
    def _prompt(self):
        return self._chat.prompt


@pytest.fixture
def client():
    return Client()


@pytest.fixture
async def keyboard(client, tmp_path):
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        server = SimpleNamespace(client=client, own=True)
        speaker = Speaker(name="ada", guild="home", language="en", directory=tmp_path)
        chat = Conversation(server, speaker, Console(quiet=True), UTC)
        talking = asyncio.create_task(chat.run())
        keyboard = Keyboard(pipe, chat)
        await keyboard.shows("")
        yield keyboard
        talking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await talking


async def answered(client, count):
    async with asyncio.timeout(SECONDS):
        while len(client.lines) < count:  # noqa: ASYNC110 - a fake
            await asyncio.sleep(0.01)


async def test_a_refused_line_stands_in_the_input_again(client, keyboard):
    keyboard.type(f"{LINE}\r")
    await keyboard.shows(LINE)
    keyboard.type(" --seed 3\r")
    await answered(client, 2)
    assert client.lines == [LINE, f"{LINE} --seed 3"]


async def test_what_was_typed_without_a_command_comes_back_too(client, keyboard):
    keyboard.type("a red fox\r")
    await keyboard.shows("a red fox")


@pytest.mark.parametrize("number", ["7", "/press 7", "#7"])
async def test_a_number_that_no_button_has_does_not_come_back(client, keyboard, number):
    client.buttons = (OFFER,)
    keyboard.type(f"{LINE}\r")
    await keyboard.shows(LINE)
    keyboard.type(f"{number}\r")
    await keyboard.shows("")


async def test_what_is_offered_instead_can_be_pressed_at_once(client, keyboard):
    """The line is selected: a number takes its place."""
    client.buttons = (OFFER,)
    keyboard.type(f"{LINE}\r")
    await keyboard.shows(LINE)
    keyboard.type("1\r")
    await keyboard.shows("")
    assert client.pressed == [OFFER.id]


@pytest.mark.parametrize(
    ("keys", "left"), [(END, LINE), (CTRL_E, LINE), (BACKSPACE, ""), (INTERRUPT, "")]
)
async def test_a_selected_line_is_edited_or_cleared(client, keyboard, keys, left):
    client.buttons = (OFFER,)
    keyboard.type(f"{LINE}\r")
    await keyboard.shows(LINE)
    keyboard.type(keys)
    await keyboard.shows(left)
    keyboard.type("!")
    await keyboard.shows(f"{left}!")


async def test_a_line_that_was_done_does_not_come_back(client, keyboard):
    client.accepts = True
    keyboard.type(f"{LINE}\r")
    await answered(client, 1)
    await keyboard.shows("")
