"""Checks of Discord: the token, the servers, the permissions there, and the commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import discord

from bot.config.sections import Config
from bot.discord.access import USED
from bot.discord.connection import log_in
from bot.discord.errors import UNREACHABLE
from bot.doctor.findings import Finding, fail, ok, report_error, warn
from bot.doctor.network import unreachable
from commands.text.messages import text
from inference.domain.errors import UserError

_PAGE = 200
"""Servers that Discord tells at a time."""


async def examine(config: Config, locale: str) -> list[Finding]:
    """Check token, servers, permissions and commands; nothing is written.

    Args:
        config: Has the token.
        locale: Names of permissions are in it.
    """
    section = config.discord
    if section.token is None:
        return [ok("discord", "doctor.discord.off")]
    if "discord" not in config.bot.platforms:
        return [warn("discord", "doctor.chat.unlisted", name="discord")]
    found = []
    try:
        async with log_in(section, section.token.get_secret_value()) as client:
            found.append(ok("discord.token", "doctor.discord.token", name=str(client.user)))
            guilds = await _guilds(client)
            found += _guild_findings(guilds, frozenset(section.guild_ids), locale)
            found += await _commands(client, section.guild_ids)
    except UserError as error:
        found.append(report_error("discord.token", error))
    except discord.HTTPException as error:
        found.append(fail("discord.token", "doctor.discord.failed", problem=str(error.status)))
    except UNREACHABLE as error:
        found.append(unreachable("discord.token", "Discord", error))
    return found


async def _guilds(client: discord.Client) -> list[Any]:
    guilds: list[Any] = []
    while True:
        after = int(guilds[-1]["id"]) if guilds else None
        page = await client.http.get_guilds(_PAGE, after=after, with_counts=False)
        guilds += page
        if len(page) < _PAGE:
            return guilds


def _guild_findings(guilds: list[Any], wanted: frozenset[int], locale: str) -> Iterator[Finding]:
    if not guilds:
        yield warn("discord.guilds", "doctor.discord.no_guilds")
    else:
        yield ok("discord.guilds", "doctor.discord.guilds", count=len(guilds))
    for guild_id in sorted(wanted - {int(guild["id"]) for guild in guilds}):
        yield report_error("discord.guilds", UserError("discord.guild_closed", guild=str(guild_id)))
    lacking = False
    for guild in guilds:
        granted = discord.Permissions(int(guild["permissions"]))
        if granted.administrator:
            continue
        missing = [name for name, used in USED if used and not getattr(granted, name)]
        if missing:
            lacking = True
            names = ", ".join(text(f"discord.permission.{name}", locale) for name in missing)
            yield warn(
                "discord.permissions",
                "doctor.discord.permissions_missing",
                guild=guild["name"],
                missing=names,
            )
    if guilds and not lacking:
        yield ok("discord.permissions", "doctor.discord.permissions")


async def _commands(client: discord.Client, guild_ids: list[int]) -> list[Finding]:
    application = client.application_id or 0
    if guild_ids:
        registered = []
        for guild_id in guild_ids:
            try:
                registered += await client.http.get_guild_commands(application, guild_id)
            except (discord.Forbidden, discord.NotFound):  # told with the servers
                continue
    else:
        registered = list(await client.http.get_global_commands(application))
    if registered:
        return [ok("discord.commands", "doctor.discord.commands", count=len(registered))]
    return [warn("discord.commands", "doctor.discord.no_commands")]
