"""The whole examination, from Python to plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from bot.config.sections import Config
from bot.doctor import configuration, machine, network, storage
from bot.doctor.findings import Finding, ok, report_exception, warn
from inference.domain.errors import RushesError, UserErrors
from inference.workers.device_report import DeviceReport, read_device

_AWAY = "doctor.host.unreachable"

_CLOSED = frozenset(
    {f"error.store.{code}" for code in ("no_permission", "closed_above", "mode", "read_only")}
    | {"doctor.data.no_room", "error.store.not_a_folder"}
)
"""What is wrong with a folder in which nothing can be checked."""

_REPEATED = _CLOSED | {"error.store.backup_failed", "error.cli.os_error"}
"""What the checks of its contents then meet."""


async def examine(
    config: Config, locale: str, *, offline: bool = False, mistake: RushesError | None = None
) -> list[Finding]:
    """Return the findings about everything that a configuration needs.

    Args:
        config: What is usable of it.
        locale: Names inside sentences are in it.
        offline: Whether nothing outside this machine is asked.
        mistake: What was found when the configuration was read.
    """
    local = await asyncio.to_thread(lambda: [*_local(config, mistake)])
    running = await _await_check("running", lambda: configuration.ask_process(config, locale))
    found = [*_cause_once([*local, *running], config.bot.data_dir)]
    if any(one.code == "doctor.running.no" for one in running):
        found += _run_check("http", lambda: network.check_port(config))
    if offline:
        return [*found, ok("network", "doctor.offline")]
    # The libraries of chats are for those who use them.
    from bot.doctor import discord, slack  # noqa: PLC0415

    checks = {
        "discord": lambda: discord.examine(config, locale),
        "slack": lambda: slack.examine(config),
        "assistant": lambda: network.check_openai(config),
        "network": lambda: network.check_hosts(config),
    }
    for section in _find_misdirected(mistake):
        checks.pop("assistant" if section == "safety" else section, None)
    asked = await asyncio.gather(*(_await_check(area, check) for area, check in checks.items()))
    return [*found, *_once_each([one for some in asked for one in some], config)]


def _find_misdirected(mistake: RushesError | None) -> set[str]:
    """Return the sections with a wrong address: their keys belong to no other server."""
    errors = mistake.errors if isinstance(mistake, UserErrors) else (mistake,) if mistake else ()
    keys = (str(one.params.get("key")).partition(".") for one in errors)
    return {section for section, _, key in keys if key.endswith("_url")}


def _cause_once(found: list[Finding], folder: Path) -> Iterator[Finding]:
    """Replace errors inside an unusable data folder by a reference to the folder's own error."""
    closed = any(one.check == "data" and one.code in _CLOSED for one in found)
    for one in found:
        path = Path(str(one.params.get("path", "")))
        inside = path.is_relative_to(folder)
        if closed and inside and one.check != "data" and one.code in _REPEATED:
            yield warn(one.check, "doctor.data.see", path=str(folder))
        else:
            yield one


def _once_each(found: list[Finding], config: Config) -> Iterator[Finding]:
    """Leave out unreachable hosts of a chat that is reported as unreachable itself."""
    away = {one.params["name"] for one in found if one.code == _AWAY}
    names = {host.name for host in network.hosts(config) if host.why in away}
    for one in found:
        if one.code != _AWAY or one.params["name"] not in names:
            yield one


def _local(config: Config, mistake: RushesError | None) -> Iterator[Finding]:
    device: list[DeviceReport] = []
    yield from _run_check("python", machine.python)
    yield from _run_check("torch", lambda: _torch(config, device))
    for report in device:
        yield from _run_check("gpu", lambda: machine.gpu(config, report))  # noqa: B023 - run at once
        yield from _run_check("memory", lambda: machine.memory(config, report))  # noqa: B023
    checks: dict[str, Callable[[Config], Iterator[Finding]]] = {
        "weights": storage.model_weights,
        "disk": machine.disk,
        "data": storage.data_folder,
        "database": storage.database,
        "backup": storage.backups,
        "config": partial(configuration.config, mistake=mistake),
        "proxy": network.proxy,
        "plugins": configuration.plugins,
    }
    for name, check in checks.items():
        yield from _run_check(name, partial(check, config))


def _torch(config: Config, device: list[DeviceReport]) -> Iterator[Finding]:
    """Check torch, and append what it says about the device."""
    device.append(read_device())
    yield from machine.torch(config, device[0])


def _run_check(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; an exception becomes one too."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - one check must not hide the others
        yield report_exception(name, error)


async def _await_check(name: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return the findings of a check; an exception becomes one too."""
    try:
        return await check()
    except Exception as error:  # noqa: BLE001 - one check must not hide the others
        return [report_exception(name, error)]
