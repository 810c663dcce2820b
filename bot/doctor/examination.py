"""The whole examination, from Python to plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bot.config.sections import Config
from bot.doctor import configuration, machine, network, storage
from bot.doctor.findings import Finding, ok
from inference.workers.device_report import read_device


async def examine(config: Config, locale: str, *, offline: bool = False) -> list[Finding]:
    """Return the findings about everything that a configuration needs.

    Args:
        config: That could be read.
        locale: Names inside sentences are in it.
        offline: Whether nothing outside this machine is asked.
    """
    local = await asyncio.to_thread(lambda: [*_local(config)])
    running = await configuration.running(config, locale)
    found = [*local, *running]
    if any(one.code == "doctor.running.no" for one in running):
        found += network.listening(config)
    if offline:
        return [*found, ok("network", "doctor.offline")]
    # The libraries of chats are for those who use them.
    from bot.doctor import discord, slack  # noqa: PLC0415

    asked = await asyncio.gather(
        discord.examine(config, locale),
        slack.examine(config),
        network.assistant(config),
        network.reach(config),
    )
    return [*found, *(one for some in asked for one in some)]


def _local(config: Config) -> Iterator[Finding]:
    device = read_device()
    yield from machine.python()
    yield from machine.torch(config, device)
    yield from machine.gpu(config, device)
    yield from machine.memory(config, device)
    yield from storage.model_weights(config)
    yield from machine.disk(config)
    yield from storage.data_folder(config)
    yield from storage.database(config)
    yield from storage.backups(config)
    yield from configuration.config(config)
    yield from network.proxy(config)
    yield from configuration.plugins(config)


def without_config() -> Iterator[Finding]:
    """Yield the findings that need no configuration."""
    yield from machine.python()
    yield from configuration.plugins()
