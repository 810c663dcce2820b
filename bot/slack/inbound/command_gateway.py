"""Runs commands for people on Slack: builds the call, checks the channel and the person first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TypeVar

import structlog

from bot.platform import Services
from bot.slack.address import NAME
from bot.slack.lookups.channels import Channels
from bot.slack.lookups.directory import SlackDirectory
from bot.slack.lookups.people import Member, People
from bot.slack.origin import Origin
from commands import run
from commands.actions import Action, ButtonId
from commands.caller import Channel
from commands.context import Call, Command, Visibility
from commands.forms import Form
from commands.policy.permissions import check_external
from commands.schema import Value
from commands.text import replies
from commands.text.card import Card
from inference.bug_report import log_bug
from inference.domain.errors import RushesError, UserError
from inference.domain.job import Job

Answer = TypeVar("Answer", Card, Card | Form, Card | None)

LOCALE_SECONDS = 1.0

_QUIET = frozenset({Action.CANCEL, Action.INFO, Action.EDIT, Action.DELETE})
"""Presses after which no new card is posted."""

_log = structlog.get_logger(__name__)


class CommandGateway:
    """Runs the commands of all listeners."""

    def __init__(self, services: Services, people: People, channels: Channels) -> None:
        self._services = services
        self._people = people
        self._channels = channels

    async def run_text(
        self, origin: Origin, text: str, *, image: str | None = None, present: bool = False
    ) -> Card:
        """Run a typed command.

        Args:
            origin: Who typed it, where.
            text: With the command in front.
            image: File id of the picture that came with it.
            present: Whether the bot is certainly there: it got the message itself.
        """
        makes = self._makes(text)
        return await self._answer(
            origin,
            lambda call: run.execute(text, call),
            posts=makes and not present,
            makes=makes,
            options=self._pictures(text, image) if makes else {},
            for_everybody=makes,
        )

    async def rewrite(
        self, origin: Origin, text: str, job: Job, *, image: str | None = None
    ) -> Card | None:
        """Answer a message that was edited after it had made a job; None if nothing changes.

        Args:
            origin: Who edited it, where.
            text: What it says now, with the command in front.
            job: What it made.
            image: File id of a picture that the edit brought.
        """
        return await self._answer(
            origin,
            lambda call: run.rewrite(text, job.id, call),
            posts=False,
            options=self._pictures(text, image) if self._makes(text) else {},
            for_everybody=self._makes(text),
        )

    async def job_of(self, origin: Origin, key: str) -> Job | None:
        """Return the job of an idempotency key."""
        return await self._services.jobs.by_key(key, tenant=origin.installation.tenant)

    async def run_command(
        self, origin: Origin, command: Command, options: Mapping[str, Value]
    ) -> Card:
        """Run the submitted form of a command."""
        return await self._answer(
            origin, lambda call: run.invoke(command, call), posts=True, options=options
        )

    async def press(self, origin: Origin, button_id: str) -> Card | Form:
        """Run the action of a button."""
        return await self._answer(
            origin, lambda call: run.press(button_id, call), posts=_posts(button_id)
        )

    async def submit(self, origin: Origin, form_id: str, values: Mapping[str, str]) -> Card:
        """Run the submitted form of a button."""
        return await self._answer(
            origin, lambda call: run.submit(form_id, values, call), posts=True
        )

    async def call(self, origin: Origin) -> Call:
        """Return a call that reads only.

        Raises:
            UserError: `permission.external`.
        """
        known = await self._people.identify(origin)
        if known.external:
            raise UserError("permission.external")
        return self._call(origin, known, {})

    async def locale(self, origin: Origin) -> str:
        """Return the person's language, or the default if it comes too late for a form."""
        try:
            async with asyncio.timeout(LOCALE_SECONDS):
                return (await self._people.identify(origin)).locale
        except TimeoutError:
            return self._services.language

    async def _answer(
        self,
        origin: Origin,
        ask: Callable[[Call], Awaitable[Answer]],
        *,
        posts: bool,
        makes: bool | None = None,
        options: Mapping[str, Value] = MappingProxyType({}),
        for_everybody: bool = True,
    ) -> Answer | Card:
        """Answer whatever happens: silence would look like a lost job."""
        makes = posts if makes is None else makes
        try:
            if posts and not origin.channel:  # pressed in the App Home
                origin = origin.at(await self._channels.direct(origin))
            known, (refusal, private) = await asyncio.gather(
                self._people.identify(origin), self._check(origin, posts=posts, makes=makes)
            )
            call = self._call(origin, known, options, private=private)
            if known.external:
                refusal = await self._refusal(call, for_everybody=for_everybody) or refusal
            return await ask(call) if refusal is None else replies.error(refusal, known.locale)
        except UserError as error:
            return replies.error(error, self._services.language)
        except Exception as error:  # noqa: BLE001 - as it says
            bug_id = log_bug(_log, "slack.bug", error, what="gateway")
            return replies.error(RushesError("internal", job=bug_id), self._services.language)

    def _pictures(self, text: str, image: str | None) -> dict[str, Value]:
        """Return the picture of a message as the option of its command that it is for."""
        if image is None:
            return {}
        command, _ = self._services.commands.find(text)
        return {command.picture: image}

    def _makes(self, text: str) -> bool:
        """Whether a text is a command with a public result."""
        try:
            command, _ = self._services.commands.find(text)
        except UserError:
            return False
        return command.parent is None and command.visibility is Visibility.EVERYONE

    async def _refusal(self, call: Call, *, for_everybody: bool) -> UserError | None:
        """Return why a person of another company is refused: lists show the installer's jobs."""
        if not for_everybody:
            return UserError("permission.external")
        try:
            check_external(await call.rules())
        except UserError as error:
            return error
        return None

    async def _check(
        self, origin: Origin, *, posts: bool, makes: bool
    ) -> tuple[UserError | None, bool]:
        """Return why nothing can be posted in a channel, and whether it is private."""
        refusal = await self._channels.refusal(origin) if posts else None
        # Asked only for what is made: one always sees the jobs of where one speaks.
        private = refusal is not None or not makes or await self._channels.is_private(origin)
        return refusal, private

    def _call(
        self, origin: Origin, known: Member, options: Mapping[str, Value], *, private: bool = True
    ) -> Call:
        return self._services.call(
            caller=known.caller,
            channel=Channel(
                platform=NAME,
                tenant=origin.installation.tenant,
                address=asdict(origin.address),
                id=origin.channel,
                title=origin.channel_name,
                pictures=NAME,
                private=private,
                direct=origin.in_dm,
            ),
            options=options,
            locale=known.locale,
            key=origin.key,
            directory=SlackDirectory(self._channels, origin),
        )


def _posts(button_id: str) -> bool:
    button = ButtonId.read(button_id)
    return button is not None and button.action not in _QUIET
