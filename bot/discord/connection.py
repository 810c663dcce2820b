"""The connection to Discord: one client for each run of the platform."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import structlog
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.config.sections import DiscordSection
from bot.discord import rate_limits
from bot.discord.callback_retry import answer_fast
from bot.discord.command_sync import CommandSync
from bot.discord.inbound.answers import Answers
from bot.discord.inbound.buttons import press_handler
from bot.discord.inbound.command_gateway import CommandGateway
from bot.discord.inbound.commands import make_tree
from bot.discord.shared_token import SharedToken
from bot.discord.thread_memory import limit_threads
from bot.network.connector import REFUSED, Connector, ProxyError
from bot.platform import Services
from inference.bug_report import log_bug
from inference.domain.errors import UserError
from inference.retries import survive

AUTHENTICATION_FAILED = 4004
"""The gateway's close code for a token that is not valid (any more)."""

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def log_in(section: DiscordSection, token: str) -> AsyncIterator[discord.Client]:
    """Yield a client that can make requests; it is closed at the end of the block.

    Raises:
        UserError: `discord.token_rejected`, or `config.proxy_refused`.
    """
    _redirect(section)
    async with make_client(section.shards) as client:
        try:
            await client.login(token)
        except discord.LoginFailure as error:
            raise UserError("discord.token_rejected") from error
        except (ProxyError, discord.HTTPException) as error:
            if error.status == REFUSED:
                raise UserError("config.proxy_refused") from None
            raise
        yield client


async def serve(
    client: discord.Client,
    section: DiscordSection,
    services: Services,
    answers: Answers,
    *,
    fingerprint_path: Path,
    shared_token: SharedToken,
) -> None:
    """Serve interactions from Discord, through all reconnects, until cancelled.

    Args:
        client: Logged in.
        section: The config.
        services: Take calls.
        answers: Remembers which cards answered them.
        fingerprint_path: Keeps the fingerprint of the commands that Discord knows.
        shared_token: Gives way to another process with the same token.

    Raises:
        UserError: `discord.token_rejected`: it was withdrawn while we were connected.
    """
    answer_fast(shared_token.report_other_process)
    gateway = CommandGateway(services, client, answers, shared_token, section.cdn_hosts)
    tree = make_tree(
        client,
        gateway,
        services.commands,
        direct_messages=services.policy.operator_rules.direct_messages,
    )
    client.add_dynamic_items(press_handler(gateway))

    async def on_interaction(interaction: discord.Interaction) -> None:
        if interaction.type is discord.InteractionType.modal_submit:
            await gateway.submit(interaction)

    sync = CommandSync(
        tree, section.guild_ids, fingerprint_path, services.health, services.language
    )

    async def greet() -> None:
        # Not as an event: a closed client may still dispatch that one.
        await client.wait_until_ready()
        sync.ready(guild.id for guild in client.guilds)

    async def on_guild_join(guild: discord.Guild) -> None:
        sync.register_again(guild.id)

    async def on_guild_remove(guild: discord.Guild) -> None:
        await gateway.cancel_guild(guild)

    limit_threads(client)
    client.event(on_error)
    client.event(on_interaction)
    client.event(on_guild_join)
    client.event(on_guild_remove)
    background = {
        asyncio.create_task(survive(work, name=name), name=name)
        for name, work in {
            "discord.sync": sync.run,
            "discord.ready": greet,
            "discord.two_hosts": shared_token.run,
        }.items()
    }
    try:
        await client.connect()
    except discord.ConnectionClosed as error:
        if error.code == AUTHENTICATION_FAILED:
            raise UserError("discord.token_rejected") from error
        raise
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)


async def on_error(event: str, *_: object) -> None:
    """Log what a handler of the library's events raised."""
    if (error := sys.exception()) is not None:
        log_bug(_log, "discord.bug", error, what=event)


def make_client(shards: int | None) -> discord.Client:
    """Return a client that asks for no privileged intent and remembers no people and messages."""
    kind = discord.Client if shards is None else discord.AutoShardedClient
    client = kind(
        intents=discord.Intents(guilds=True),
        member_cache_flags=discord.MemberCacheFlags.none(),
        chunk_guilds_at_startup=False,
        max_messages=None,
        allowed_mentions=discord.AllowedMentions.none(),
        shard_count=shards,
        connector=Connector(limit=0),  # the library's own limits requests
    )
    rate_limits.install(client)
    return client


def _redirect(section: DiscordSection) -> None:
    """Use another server than Discord's own, if the config names one.

    Discord.py keeps both addresses in class attributes only; there is one Discord in a process.
    """
    if section.api_base_url is not None:
        Route.BASE = section.api_base_url.rstrip("/")
    if section.gateway_url is not None:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(section.gateway_url)
