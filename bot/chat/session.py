"""Session of a terminal chat: runs one line after the other, typed or from a script."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bot.control.client import Answer, ControlClient, Speaker
from commands.parsing.greetings import is_greeting
from commands.text.card import Button, Card, CardKind
from commands.text.job_buttons import confirmation
from commands.text.replies import error, note
from inference.domain.errors import UserError

_PRESS = re.compile(r"(/press\s+)?#?(?P<number>[0-9]{1,4})")
_SWITCH_SPEAKER = re.compile(r"/as(?P<words>(\s+\S+)*)")
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one input."""

    card: Card | None = None
    accepted: bool = True
    """False when the line was refused; the card says why."""
    line: str = ""
    """What is to be edited and sent next: a form, or the line that was refused."""
    quit: bool = False
    unfinished: tuple[str, ...] = ()
    """The ids of the jobs that the line was about, if they were still to be done."""
    posted: bool = False
    """Whether a message says it as well: the job failed before it was in the queue."""


class Session:
    """A conversation: who speaks, and which buttons can be pressed."""

    def __init__(self, client: ControlClient, speaker: Speaker) -> None:
        self._client = client
        self._buttons: list[Button] = []
        self._asked: Button | None = None
        """Pressed last, and not carried out before it is confirmed."""
        self._first = speaker
        self.speaker = speaker

    def number_buttons(self, card: Card) -> int:
        """Return the number of a card's first button; numbers stay with their card."""
        first = len(self._buttons) + 1
        self._buttons += card.buttons
        return first

    def forget(self) -> None:
        """Restart the numbering of buttons at 1."""
        self._buttons = []

    async def handle(self, line: str, *, key: str | None = None) -> Outcome:
        """Run a line.

        Args:
            line: As typed.
            key: What makes it the same request when it is sent again.

        Raises:
            UserError: `control.*`: the other side is gone.
        """
        asked, self._asked = self._asked, None
        line = line.strip()
        try:
            outcome = await self._carry_out(line, key, asked)
        except UserError:  # the same line may be sent again
            self._asked = asked
            raise
        if outcome.accepted:
            return replace(outcome, line=outcome.card.line if outcome.card else "")
        return outcome if _PRESS.fullmatch(line) else replace(outcome, line=line)

    async def _carry_out(self, line: str, key: str | None, asked: Button | None) -> Outcome:
        if line == "/quit":
            return Outcome(quit=True)
        if match := _SWITCH_SPEAKER.fullmatch(line):
            return self._switch_speaker(match["words"].split())
        if match := _PRESS.fullmatch(line):
            return await self._press(int(match["number"]), key, asked)
        if is_greeting(line):
            line = "/rushes help"
        if not line.startswith("/"):
            return self._refuse(UserError("chat.no_command"))
        return await self._outcome(await self._client.command(line, self.speaker, key))

    def _switch_speaker(self, words: list[str]) -> Outcome:
        """Switch to another person: `NAME [GUILD] [#CHANNEL] [+ROLE …]`.

        Only who began as an admin is one: all others speak as members.
        """
        roles = tuple(word[1:] for word in words if word.startswith("+"))
        channels = [word[1:] for word in words if word.startswith("#")]
        names = [word for word in words if word[0] not in "+#"]
        if not 1 <= len(names) <= 2 or len(channels) > 1:  # noqa: PLR2004 - name and guild
            return self._refuse(UserError("chat.bad_name"))
        if not all(_NAME.fullmatch(name) for name in (*names, *roles, *channels)):
            return self._refuse(UserError("chat.bad_name"))
        name, guild = names[0], names[1] if names[1:] else self.speaker.guild
        self.speaker = replace(
            self.speaker,
            name=name,
            guild=guild,
            admin=self._first.admin and name == self._first.name,
            roles=roles,
            channel=channels[0] if channels else None,
        )
        self.forget()
        return Outcome(card=note("chat.speaking_as", self.speaker.language, name=name, guild=guild))

    async def _press(self, number: int, key: str | None, asked: Button | None) -> Outcome:
        """Press a button; a second press confirms its question."""
        if not self._buttons:
            return self._refuse(UserError("chat.no_buttons"))
        if not 1 <= number <= len(self._buttons):
            return self._refuse(UserError("chat.no_such_button", highest=len(self._buttons)))
        button = self._buttons[number - 1]
        if button.confirm is not None and button != asked:
            try:
                answer = await self._client.confirm(button.id, self.speaker)
            except UserError:  # of an older version, which cannot ask; or it is gone: see the press
                card = confirmation(button.key.job, self.speaker.language)
                answer = Answer(card=card, accepted=True)
            if answer.accepted:
                self._asked = button
            return Outcome(card=answer.card, accepted=answer.accepted)
        return await self._outcome(await self._client.press(button.id, self.speaker, key))

    def _refuse(self, problem: UserError) -> Outcome:
        return Outcome(card=error(problem, self.speaker.language), accepted=False)

    async def _outcome(self, answer: Answer) -> Outcome:
        card = answer.card
        if card.job is None or card.kind not in {CardKind.WAITING, CardKind.RUNNING}:
            return Outcome(card=card, accepted=answer.accepted)
        report = await self._client.past_preparing(card.job, self.speaker)
        return Outcome(
            card=report.card,
            unfinished=report.together or (card.job,),
            posted=report.card.kind is CardKind.FAILED,
        )
