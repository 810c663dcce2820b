"""What somebody says in a terminal chat, line by line, whether typed or from a script."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bot.control.client import Answer, ControlClient, Speaker
from commands.text.card import Button, Card, CardKind
from commands.text.cards import error, note
from inference.domain.errors import UserError

_PRESS = re.compile(r"(/press\s+)?#?(?P<number>[0-9]{1,2})")
_SPEAK_AS = re.compile(r"/as(?P<words>(\s+\S+)*)")
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one input."""

    card: Card | None = None
    accepted: bool = True
    """False when the line was refused; the card says why."""
    quit: bool = False
    unfinished: str | None = None
    """The id of the job that the line was about, if it was still to be done."""


class Session:
    """A conversation: who speaks, and which buttons can be pressed."""

    def __init__(self, client: ControlClient, speaker: Speaker) -> None:
        self._client = client
        self._buttons: tuple[Button, ...] = ()
        self._first = speaker
        self.speaker = speaker

    def shown(self, card: Card) -> None:
        """Note that a card was shown: the buttons of the newest one can be pressed by number."""
        if card.buttons:
            self._buttons = card.buttons

    async def hear(self, line: str) -> Outcome:
        """Do what a line says.

        Raises:
            UserError: `control.*`: the other side is gone.
        """
        line = line.strip()
        if line == "/quit":
            return Outcome(quit=True)
        if match := _SPEAK_AS.fullmatch(line):
            return self._speak_as(match["words"].split())
        if match := _PRESS.fullmatch(line):
            return await self._press(int(match["number"]))
        if not line.startswith("/"):
            return self._refused(UserError("chat.no_command"))
        return await self._heard(await self._client.command(line, self.speaker))

    def _speak_as(self, words: list[str]) -> Outcome:
        """Let somebody else speak: `NAME [GUILD] [#CHANNEL] [+ROLE …]`.

        Only who began as an admin is one: everybody else speaks as a member.
        """
        roles = tuple(word[1:] for word in words if word.startswith("+"))
        channels = [word[1:] for word in words if word.startswith("#")]
        names = [word for word in words if word[0] not in "+#"]
        if not 1 <= len(names) <= 2 or len(channels) > 1:  # noqa: PLR2004 - name and guild
            return self._refused(UserError("chat.bad_name"))
        if not all(_NAME.fullmatch(name) for name in (*names, *roles, *channels)):
            return self._refused(UserError("chat.bad_name"))
        name, guild = names[0], names[1] if names[1:] else self.speaker.guild
        self.speaker = replace(
            self.speaker,
            name=name,
            guild=guild,
            admin=self._first.admin and name == self._first.name,
            roles=roles,
            channel=channels[0] if channels else None,
        )
        self._buttons = ()
        return Outcome(card=note("chat.speaking_as", self.speaker.language, name=name, guild=guild))

    async def _press(self, number: int) -> Outcome:
        if not self._buttons:
            return self._refused(UserError("chat.no_buttons"))
        if not 1 <= number <= len(self._buttons):
            return self._refused(UserError("chat.no_such_button", highest=len(self._buttons)))
        button = self._buttons[number - 1]
        return await self._heard(await self._client.press(button.id, self.speaker))

    def _refused(self, problem: UserError) -> Outcome:
        return Outcome(card=error(problem, self.speaker.language), accepted=False)

    async def _heard(self, answer: Answer) -> Outcome:
        card = answer.card
        if card.job is None or card.kind not in {CardKind.WAITING, CardKind.RUNNING}:
            return Outcome(card=card, accepted=answer.accepted)
        report = await self._client.past_preparing(card.job, self.speaker)
        return Outcome(card=report.card, unfinished=card.job)
