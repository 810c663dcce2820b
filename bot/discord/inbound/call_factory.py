"""Builds the call of a command from an interaction: caller, channel, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import discord

from bot.discord import access
from bot.discord.address import NAME, Address, tenant_of
from bot.discord.directory import DiscordDirectory, is_private
from bot.platform import Services
from commands.caller import Caller, Channel
from commands.context import Call
from commands.schema import Value
from commands.text.messages import language


class CallFactory:
    """Turns interactions into calls."""

    def __init__(self, services: Services, client: discord.Client) -> None:
        self._services = services
        self._client = client

    def call(
        self, interaction: discord.Interaction, options: Mapping[str, Value] | None = None
    ) -> Call:
        """Return the call that an interaction makes.

        Args:
            interaction: A command, a press or a submitted form.
            options: What was set, by option name.
        """
        locale = self.locale(interaction)
        return self._services.call(
            caller=self._caller(interaction),
            channel=replace(self._channel(interaction), closed=access.refusal(interaction, locale)),
            options=options or {},
            locale=locale,
            key=request_key(interaction.id),
            directory=DiscordDirectory(interaction),
        )

    def locale(self, interaction: discord.Interaction) -> str:
        """Return the language to answer a person in."""
        return language(interaction.locale.value)

    def _caller(self, interaction: discord.Interaction) -> Caller:
        user = interaction.user
        roles = user.roles if isinstance(user, discord.Member) else []
        return Caller(
            id=str(user.id),
            name=user.display_name,
            roles=frozenset(str(role.id) for role in roles),
            admin=interaction.permissions.manage_guild,
            operator=self._is_operator(user.id),
        )

    def _is_operator(self, user_id: int) -> bool:
        """Whether the config names the person, or the application is theirs."""
        application = self._client.application
        owners = set()
        if application is not None:
            team = application.team
            owners = {member.id for member in team.members} if team else {application.owner.id}
        return user_id in owners or self._services.is_operator(NAME, str(user_id))

    def _channel(self, interaction: discord.Interaction) -> Channel:
        channel = interaction.channel
        thread = channel if isinstance(channel, discord.Thread) else None
        inside = None if thread is None else thread.parent_id
        return Channel(
            platform=NAME,
            tenant=tenant_of(interaction.guild_id, interaction.user.id),
            address=asdict(_address(interaction)),
            id=str(inside or interaction.channel_id or ""),
            title=getattr(channel, "name", None) or "",
            pictures=NAME,
            private=is_private(channel),
            room=str(thread.id) if thread is not None and thread.is_private() else "",
            direct=interaction.guild_id is None,
            personal=interaction.guild_id is None,
            age_restricted=_is_for_adults(channel),
        )


def request_key(interaction_id: int) -> str:
    """Return the idempotency key of what an interaction asks for."""
    return f"{NAME}:{interaction_id}"


def _is_for_adults(channel: object) -> bool:
    """Whether a channel, or the one that a thread is in, is age-restricted."""
    tell: Callable[[], bool] | None = getattr(channel, "is_nsfw", None)
    return tell is not None and tell()


def _address(interaction: discord.Interaction) -> Address:
    return Address(
        channel=interaction.channel_id or 0,
        user=interaction.user.id,
        guild=interaction.guild_id,
        threads=access.opens_threads(interaction),
        embeds=access.may_embed(interaction),
        application=interaction.application_id,
        interaction=interaction.id,
        token=interaction.token,
    )
