"""What people do on Discord, each brought to the command it means."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import discord
import structlog

from bot.discord import menus, modals, suggestions
from bot.discord.address import tenant_of
from bot.discord.answers import Answers
from bot.discord.intake import Intake
from bot.platform import Desk
from commands.run import invoke, opens_form, press, submit
from commands.schema import Command, Option, Value, Visibility
from inference.errors import RushesError

SUGGEST_SECONDS = 2.0
"""After which proposals are too late to be shown."""

_log = structlog.get_logger(__name__)


class Reception:
    """Hands in at the desk what interactions ask."""

    def __init__(
        self,
        desk: Desk,
        client: discord.Client,
        answers: Answers,
        image_hosts: Collection[str] = (),
    ) -> None:
        """Wire it up.

        Args:
            desk: Takes calls.
            client: Whose interactions they are.
            answers: Answer them.
            image_hosts: Where images may be fetched from.
        """
        self._desk = desk
        self._image_hosts = image_hosts
        self._answers = answers
        self._intake = Intake(desk, client)

    def offers(self, option: Option) -> bool:
        """Whether this installation has a use for an option."""
        return self._desk.studio.offers(option)

    async def command(
        self, interaction: discord.Interaction, command: Command, options: Mapping[str, Value]
    ) -> None:
        """Give a command."""
        call = self._intake.call(interaction, options)
        private = command.visibility is Visibility.CALLER
        await self._answers.give(interaction, invoke(command, call), private=private)

    async def press(self, interaction: discord.Interaction, button_id: str) -> None:
        """Press a button."""
        call = self._intake.call(interaction)
        await self._answers.give(
            interaction, press(button_id, call), form=opens_form(button_id), private=True
        )

    async def submit(self, interaction: discord.Interaction) -> None:
        """Hand in a form."""
        form_id, values = modals.form_id(interaction), modals.values(interaction)
        if form_id == menus.ANIMATE:
            command, options = menus.animation(values)
            await self.command(interaction, command, options)
        else:
            call = self._intake.call(interaction)
            await self._answers.give(interaction, submit(form_id, values, call))

    async def animate(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Ask for the words to animate a message's image with."""
        locale = self._intake.locale(interaction)
        await self._answers.give(
            interaction, menus.animate(message, self._image_hosts, locale), form=True
        )

    async def settings(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Open what a message's clip was made from, to make another one."""
        work = menus.settings(message, self._intake.call(interaction))
        await self._answers.give(interaction, work, form=True)

    async def suggest(
        self, interaction: discord.Interaction, source: suggestions.Source, typed: str
    ) -> suggestions.Choices:
        """Propose values of an option."""
        call = self._intake.call(interaction)
        try:
            async with asyncio.timeout(SUGGEST_SECONDS):
                return await suggestions.suggest(source, typed, call)
        except (RushesError, TimeoutError):
            return []

    async def outdated(self, interaction: discord.Interaction) -> None:
        """Say that a command is not as the person's Discord has it."""
        locale = self._intake.locale(interaction)
        await self._answers.give(interaction, menus.outdated(locale))

    async def left(self, guild: discord.Guild) -> None:
        """Stop what a guild waits for that has sent the bot away."""
        tenant = tenant_of(guild.id, 0)
        for job in await self._desk.jobs.waiting(tenant):
            await self._desk.jobs.cancel(job.id, tenant=tenant)
        _log.info("discord.guild_left", guild=guild.id)
