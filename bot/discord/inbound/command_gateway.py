"""Runs commands for interactions on Discord and answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from functools import partial
from typing import Any

import discord
import structlog

from bot.discord.address import tenant_of
from bot.discord.inbound import autocomplete, context_menus, modals
from bot.discord.inbound.answers import Answers
from bot.discord.inbound.intake import Intake, request_key
from bot.discord.two_hosts import TwoHosts
from bot.platform import Services
from commands.actions import ButtonId
from commands.command import Command, Visibility
from commands.context import Call
from commands.forms import Form
from commands.run import invoke, opens_form, press, submit
from commands.schema import Option, Value
from commands.text.card import Card
from inference.domain.errors import NotFound, RushesError

SUGGEST_SECONDS = 2.0
"""After which proposals are too late to be shown."""

OTHERS_SECONDS = 1.0
"""How long another process with our token has for what it alone may know; Discord waits three."""

_log = structlog.get_logger(__name__)


class CommandGateway:
    """The one way from interactions to commands."""

    def __init__(
        self,
        services: Services,
        client: discord.Client,
        answers: Answers,
        two_hosts: TwoHosts,
        image_hosts: Collection[str],
    ) -> None:
        """Wire it up.

        Args:
            services: Take calls.
            client: Whose interactions they are.
            answers: Answer them.
            two_hosts: Gives way to another process with the same token.
            image_hosts: Where images may be fetched from.
        """
        self._services = services
        self._image_hosts = image_hosts
        self._answers = answers
        self._two_hosts = two_hosts
        self._intake = Intake(services, client)

    def offers(self, option: Option) -> bool:
        """Whether this installation has a use for an option."""
        return self._services.installation.offers(option)

    async def command(
        self, interaction: discord.Interaction, command: Command, options: Mapping[str, Value]
    ) -> None:
        """Give a command."""
        call = self._intake.call(interaction, options)
        private = command.visibility is Visibility.CALLER
        await self._give(interaction, invoke(command, call), private=private)

    async def press(self, interaction: discord.Interaction, button_id: str) -> None:
        """Press a button."""
        call = self._intake.call(interaction)
        await self._let_others_first(_job_of(button_id), call)
        await self._give(
            interaction, press(button_id, call), form=opens_form(button_id), private=True
        )

    async def submit(self, interaction: discord.Interaction) -> None:
        """Hand in a form."""
        form_id, values = modals.form_id(interaction), modals.values(interaction)
        if form_id == context_menus.ANIMATE:
            command, options = context_menus.animation(values)
            await self.command(interaction, command, options)
        else:
            call = self._intake.call(interaction)
            await self._let_others_first(_job_of(form_id), call)
            await self._give(interaction, submit(form_id, values, call))

    async def animate(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Ask for the words to animate a message's image with."""
        locale = self._intake.locale(interaction)
        await self._give(
            interaction, context_menus.animate(message, self._image_hosts, locale), form=True
        )

    async def settings(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Open what a message's clip was made from, to make another one."""
        call = self._intake.call(interaction)
        await self._let_others_first(context_menus.job_of(message), call)
        await self._give(interaction, context_menus.settings(message, call), form=True)

    async def suggest(
        self, interaction: discord.Interaction, source: autocomplete.Source, typed: str
    ) -> autocomplete.Choices:
        """Propose values of an option."""
        call = self._intake.call(interaction)
        try:
            async with asyncio.timeout(SUGGEST_SECONDS):
                return await autocomplete.suggest(source, typed, call)
        except (RushesError, TimeoutError):
            return []

    async def outdated(self, interaction: discord.Interaction) -> None:
        """Say that a command is not as the person's Discord has it."""
        locale = self._intake.locale(interaction)
        await self._give(interaction, context_menus.outdated(locale))

    async def left(self, guild: discord.Guild) -> None:
        """Cancel the jobs of a guild that removed the bot."""
        await self._services.cancel_all(tenant_of(guild.id, 0))
        _log.info("discord.guild_left", guild=guild.id)

    async def _give(
        self,
        interaction: discord.Interaction,
        work: Coroutine[Any, Any, Card | Form],
        *,
        form: bool = False,
        private: bool = False,
    ) -> None:
        """Answer an interaction; see `Answers.give`."""
        withdraw = partial(self._two_hosts.withdraw, request_key(interaction.id))
        await self._answers.give(interaction, work, form=form, private=private, withdraw=withdraw)

    async def _let_others_first(self, job_id: str | None, call: Call) -> None:
        """Wait a moment before an unknown job is called unknown: another process may know it.

        Its message is ours, so either the job was deleted, or two processes have one token.
        """
        if job_id is None:
            return
        try:
            await call.job(job_id)
        except NotFound:
            await asyncio.sleep(OTHERS_SECONDS)
        except RushesError:  # the command itself says so
            return


def _job_of(action_id: str) -> str | None:
    """Return the job that a button or a form is about, if it is one of this version."""
    try:
        return ButtonId.decode(action_id).job
    except NotFound:
        return None
