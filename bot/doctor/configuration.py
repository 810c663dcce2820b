"""Checks of the configuration, of plugins, and of the process that runs with it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.config.sections import Config
from bot.control.client import connect
from bot.doctor.findings import Finding, fail, ok, report_error, warn
from bot.plugin_report import PluginState, report
from bot.preflight import all_problems
from bot.readiness import ON_PURPOSE
from inference.domain.errors import RushesError, UserError
from inference.engines.registry import WEIGHTS_CODES

_ELSEWHERE = ("model.no_weights", "config.proxy", *WEIGHTS_CODES)
"""Prefixes of the codes that separate checks report."""


def config(loaded: Config, mistake: RushesError | None = None) -> Iterator[Finding]:
    """Check the values against this machine, as a start would.

    Args:
        loaded: What is usable of it.
        mistake: What was found when it was read.
    """
    found = [one for one in all_problems(loaded, mistake) if not _elsewhere(one)]
    yield from (report_error("config", one) for one in found)
    if not found:
        yield ok("config", "doctor.config.fine")


def _elsewhere(error: RushesError) -> bool:
    return error.code.startswith(_ELSEWHERE)


def plugins(config: Config) -> Iterator[Finding]:
    """Load the plugins, as a start would."""
    found = report(config)
    for package in found.packages:
        for entry in package.entries:
            if entry.problem is not None:
                params = {"package": package.package, "group": entry.group, "name": entry.name}
                error = UserError("plugin.broken", **params, problem=entry.summary)
                yield report_error("plugins", error)
    for name in found.unknown_sections:
        yield warn("plugins", "cli.plugins.unknown_section", name=name)
    for name in found.unknown_disabled:
        yield warn("plugins", "cli.plugins.unknown_disabled", name=name)
    if not found.failed:
        loaded = [one for one in found.packages if one.state is PluginState.LOADED]
        names = ", ".join(f"{one.package} {one.version}" for one in loaded)
        code = "doctor.plugins.fine" if names else "doctor.plugins.none"
        yield ok("plugins", code, names=names)


async def ask_process(loaded: Config, locale: str | None = None) -> list[Finding]:
    """Ask the running process, if there is one, whether it is ready, and for its problems.

    Args:
        loaded: Says where it is.
        locale: Language of its sentences; None for the process's own.
    """
    try:
        async with connect(loaded.bot.data_dir) as client:
            health = await client.health(locale)
    except UserError as error:
        if error.code == "control.not_running":
            return [ok("running", "doctor.running.no")]
        return [report_error("running", error)]
    found = []
    for key, problem in {**health.problems, **health.reasons}.items():
        broken = key in health.reasons and key not in ON_PURPOSE
        tell = fail if broken else warn
        found.append(tell("running", "doctor.running.problem", key=key, problem=problem))
    if not health.ready and not health.reasons:  # of before an update
        found.append(warn("running", "cli.health.not_ready"))
    return found or [ok("running", "cli.health.ready", platforms=", ".join(health.platforms))]
