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
from bot.discord.inbound.call_factory import CallFactory, request_key
from bot.discord.shared_token import SharedToken
from bot.platform import Services
from commands.actions import Action, ButtonId
from commands.context import Call, Command, Visibility
from commands.forms import Form
from commands.options import MODEL
from commands.run import confirm, invoke, opens_form, press, submit
from commands.schema import Option, Value
from commands.text.card import Card
from commands.text.messages import FALLBACK
from commands.text.option_texts import discord_name
from inference.domain.errors import NotFound, RushesError

SUGGEST_SECONDS = 2.0
"""After which proposals are too late to be shown."""

OTHERS_SECONDS = 1.0
"""How long another process with our token has for what it alone may know; Discord waits three."""

_log = structlog.get_logger(__name__)


class CommandGateway:
    """Runs the commands of all interactions."""

    def __init__(
        self,
        services: Services,
        client: discord.Client,
        answers: Answers,
        shared_token: SharedToken,
        image_hosts: Collection[str],
    ) -> None:
        """Wire it up.

        Args:
            services: Take calls.
            client: Whose interactions they are.
            answers: Answer them.
            shared_token: Gives way to another process with the same token.
            image_hosts: Where images may be fetched from.
        """
        self._services = services
        self._image_hosts = image_hosts
        self._answers = answers
        self._shared_token = shared_token
        self._calls = CallFactory(services, client)
        self.installation = services.installation
        """Says which options commands have here, and with which values."""

    async def command(
        self, interaction: discord.Interaction, command: Command, options: Mapping[str, Value]
    ) -> None:
        """Run a command."""
        call = self._calls.call(interaction, options)
        private = command.visibility is Visibility.CALLER
        await self._give(interaction, invoke(command, call), private=private)

    async def press(self, interaction: discord.Interaction, button_id: str) -> None:
        """Run the action of a button."""
        call = self._calls.call(interaction)
        await self._let_others_first(_job_of(button_id), call)
        await self._give(
            interaction,
            press(button_id, call),
            form=opens_form(button_id),
            private=True,
            in_place=_is_used_up(button_id, interaction.message),
        )

    async def choose(self, interaction: discord.Interaction, button_id: str) -> None:
        """Run the action chosen in a menu; a deletion asks for confirmation first."""
        chosen = ButtonId.read(button_id)
        if chosen is None or chosen.action is not Action.DELETE:
            await self.press(interaction, button_id)
            return
        call = self._calls.call(interaction)
        await self._let_others_first(chosen.job, call)
        await self._give(interaction, confirm(button_id, call), private=True)

    async def submit(self, interaction: discord.Interaction) -> None:
        """Run a submitted form."""
        form_id, values = modals.form_id(interaction), modals.values(interaction)
        if form_id == context_menus.ANIMATE:
            animate = self._services.commands["/animate"]
            await self.command(interaction, animate, context_menus.animation(values))
        else:
            call = self._calls.call(interaction)
            await self._let_others_first(_job_of(form_id), call)
            await self._give(interaction, submit(form_id, values, call))

    async def animate(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Open the form of `/animate` for a message's image."""
        locale = self._calls.locale(interaction)
        await self._give(
            interaction, context_menus.animate(message, self._image_hosts, locale), form=True
        )

    async def settings(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Open the edit form with the settings of a message's clip."""
        call = self._calls.call(interaction)
        await self._let_others_first(context_menus.job_of(message), call)
        await self._give(interaction, context_menus.settings(message, call), form=True)

    async def suggest(
        self,
        interaction: discord.Interaction,
        option: Option,
        source: autocomplete.Source,
        typed: str,
    ) -> autocomplete.Choices:
        """Propose values of an option, those of the model that is named already."""
        model = getattr(interaction.namespace, discord_name(MODEL, FALLBACK), None)
        call = self._calls.call(interaction, {MODEL.name: model} if model else {})
        try:
            async with asyncio.timeout(SUGGEST_SECONDS):
                return await autocomplete.suggest(option, source, typed, call)
        except (RushesError, TimeoutError):
            return []

    async def answer_outdated(self, interaction: discord.Interaction) -> None:
        """Answer that the person's Discord has an outdated version of a command."""
        locale = self._calls.locale(interaction)
        await self._give(interaction, context_menus.answer_outdated(locale))

    async def cancel_guild(self, guild: discord.Guild) -> None:
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
        in_place: bool = False,
    ) -> None:
        """Answer an interaction; see `Answers.give`."""
        withdraw = partial(self._shared_token.withdraw, request_key(interaction.id))
        await self._answers.give(
            interaction, work, form=form, private=private, in_place=in_place, withdraw=withdraw
        )

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
    button = ButtonId.read(action_id)
    return button.job if button is not None and button.action.about_job else None


def _is_used_up(button_id: str, message: discord.Message | None) -> bool:
    """Whether a button does nothing more once pressed: that of a private question."""
    button = ButtonId.read(button_id)
    private = message is not None and message.flags.ephemeral
    return private and button is not None and button.action is Action.DELETE
