"""Registers slash commands with Discord, globally or in some guilds, only where they changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.discord.errors import UNREACHABLE
from bot.discord.inbound.commands import CatalogTranslator
from bot.health import Health
from commands.text.messages import error_text
from inference.domain.errors import UserError
from inference.media.atomic_files import write_bytes
from inference.retries import backoff, survive

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 300.0
"""Between two tries."""

LASTING = 3
"""Failures after which the next one is reported."""

ABSENT = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""How Discord refuses commands for a guild that the bot is not in."""

GLOBAL = "global"
"""Registers commands everywhere. All other targets are ids of guilds."""

HEALTH_KEY = "discord.commands"

_GLOBAL_ONLY = frozenset({"contexts", "integration_types", "dm_permission"})
"""Fields that Discord does not take in commands of a guild."""

Commands = Sequence[Mapping[str, Any]]

_log = structlog.get_logger(__name__)


class CommandSync:
    """Registers the commands of each target, and again whenever they may be lost.

    Targets are independent: one that refuses is tried again later and named in the health, and
    the others have their commands meanwhile. Targets of an earlier config are emptied, so that
    no command is shown twice.
    """

    def __init__(
        self,
        tree: app_commands.CommandTree[Any],
        guilds: Sequence[int],
        fingerprint_path: Path,
        health: Health,
        language: str,
    ) -> None:
        """Prepare.

        Args:
            tree: All commands.
            guilds: Where they are to be; everywhere if empty.
            fingerprint_path: File with the fingerprint of what each target was told last.
            health: Where targets that refuse are named.
            language: Of the operator.
        """
        self._tree = tree
        self._wanted = [str(guild) for guild in dict.fromkeys(guilds)] or [GLOBAL]
        self._fingerprint_path = fingerprint_path
        self._health = health
        self._language = language
        self._registered: dict[str, str] = {}
        self._refused: set[str] = set()
        self._writing = asyncio.Lock()
        self._joined = {target: asyncio.Event() for target in self._wanted}

    async def run(self) -> None:
        """Register the commands of every target, and again in guilds that invite the bot."""
        await self._tree.set_translator(CatalogTranslator())
        everywhere = await payload(self._tree)
        self._registered = await asyncio.to_thread(
            _load_fingerprints, self._fingerprint_path, self._application
        )
        obsolete = self._registered.keys() - set(self._wanted)
        async with asyncio.TaskGroup() as tasks:
            for target in self._wanted:
                commands = everywhere if target == GLOBAL else in_guild(everywhere)
                keep = partial(self._keep_registered, target, commands)
                tasks.create_task(survive(keep, name="discord.sync"), name=f"discord-sync-{target}")
            for target in obsolete:
                empty = partial(self._unregister, target)
                tasks.create_task(
                    survive(empty, name="discord.sync"), name=f"discord-sync-{target}"
                )

    def register_again(self, guild_id: int) -> None:
        """Register the commands of a guild again: it may have lost them with the bot."""
        if event := self._joined.get(str(guild_id)):
            event.set()

    def ready(self, guilds: Iterable[int]) -> None:
        """Retry at once in guilds that refused and that the bot is in."""
        for guild_id in guilds:
            if str(guild_id) in self._refused:
                self.register_again(guild_id)

    @property
    def _application(self) -> int:
        return self._tree.client.application_id or 0

    async def _keep_registered(self, target: str, commands: Commands) -> None:
        digest = fingerprint(commands)
        if self._registered.get(target) != digest:
            await self._register(target, commands, digest)
        joined = self._joined[target]
        while target != GLOBAL:
            await joined.wait()
            await self._register(target, commands, digest)

    async def _register(self, target: str, commands: Commands, digest: str) -> None:
        await self._overwrite_somehow(target, commands)
        self._refused.discard(target)
        self._health.clear(f"{HEALTH_KEY}.{target}")
        await self._remember(target, digest)

    async def _unregister(self, target: str) -> None:
        """Remove the commands of an earlier config."""
        # Before: after a crash in between, nothing may count as registered.
        await self._remember(target, "")
        await self._overwrite_somehow(target, [])
        await self._remember(target, None)

    async def _overwrite_somehow(self, target: str, commands: Commands) -> None:
        """Retry until Discord accepts the commands; at once when a guild invites the bot."""
        joined = self._joined.setdefault(target, asyncio.Event())
        for failures in itertools.count():
            joined.clear()
            try:
                await self._overwrite(target, commands)
                break
            except (discord.DiscordException, *UNREACHABLE) as error:
                if not commands and _status(error) in ABSENT:
                    break  # the bot has left the guild, and its commands with it
                self._report_failure(target, error, lasting=bool(commands) and failures >= LASTING)
            with contextlib.suppress(TimeoutError):
                pause = backoff(failures, first=FIRST_SECONDS, longest=LONGEST_SECONDS)
                async with asyncio.timeout(pause):
                    await joined.wait()
        _log.info("discord.sync.done", target=target, commands=len(commands))

    async def _overwrite(self, target: str, commands: Commands) -> None:
        http, application = self._tree.client.http, self._application
        told: Any = commands  # the library's types are those of its objects
        if target == GLOBAL:
            await http.bulk_upsert_global_commands(application, payload=told)
        else:
            await http.bulk_upsert_guild_commands(application, int(target), payload=told)

    def _report_failure(self, target: str, error: Exception, *, lasting: bool) -> None:
        """Log a failed try; report it where only the operator can help, or where it lasts."""
        status, code = _status(error), getattr(error, "code", 0)
        kind = type(error).__name__
        _log.warning("discord.sync.failed", target=target, status=status, code=code, error=kind)
        if target != GLOBAL and status in ABSENT:
            self._refused.add(target)
            problem = UserError("discord.guild_closed", guild=target)
        elif lasting or status == HTTPStatus.BAD_REQUEST:
            problem = UserError("discord.commands_refused", target=target, problem=code or kind)
        else:
            return
        self._health.report(f"{HEALTH_KEY}.{target}", error_text(problem, self._language))

    async def _remember(self, target: str, digest: str | None) -> None:
        """Save the fingerprint of a target; None forgets the target."""
        async with self._writing:
            if digest is None:
                self._registered.pop(target, None)
            else:
                self._registered[target] = digest
            kept = json.dumps({"application": self._application, "targets": self._registered})
            try:
                await asyncio.to_thread(write_bytes, self._fingerprint_path, kept.encode())
            except OSError as error:  # the next start registers them again
                _log.warning("discord.sync.unsaved", error=type(error).__name__)


async def payload(tree: app_commands.CommandTree[Any]) -> list[dict[str, Any]]:
    """Return the payload that registers the commands globally."""
    translator = CatalogTranslator()
    commands = [
        *tree.get_commands(type=discord.AppCommandType.chat_input),
        *tree.get_commands(type=discord.AppCommandType.message),
    ]
    return [await command.get_translated_payload(tree, translator) for command in commands]


def in_guild(commands: Commands) -> list[dict[str, Any]]:
    """Return the payload that registers commands in one guild."""
    return [
        {name: value for name, value in command.items() if name not in _GLOBAL_ONLY}
        for command in commands
    ]


def fingerprint(commands: Commands) -> str:
    """Return a hash of a set of commands."""
    return hashlib.sha256(json.dumps(commands, sort_keys=True).encode()).hexdigest()


def _status(error: Exception) -> int:
    return error.status if isinstance(error, discord.HTTPException) else 0


def _load_fingerprints(path: Path, application: int) -> dict[str, str]:
    """Return the saved fingerprints by target; none of another application."""
    try:
        kept = json.loads(path.read_text(encoding="ascii"))
        if kept["application"] != application:
            return {}
        return {str(target): str(digest) for target, digest in kept["targets"].items()}
    except OSError:  # nothing was registered yet, or it is registered again
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        # Before there were targets, the file had one fingerprint, most likely of global commands.
        return {GLOBAL: ""}
