"""Subcommands for operators: health, configuration and shell completion."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.cli.handlers import _config, _print, _print_json, _usable_config, language, run_async
from commands.schema import Option
from commands.text.messages import error_text, text
from inference.domain.errors import RushesError, StoreError, UserError, UserErrors

if TYPE_CHECKING:
    from bot.config.sections import Config
    from bot.control.client import Health

SHELLS = ("bash", "zsh", "fish")

_ANSWERED = frozenset({"control.lost", "control.refused"})
"""Errors of a process that runs: it was reached, but gave no answer or refused."""

_SILENT = {"running": False, "ready": False, "platforms": [], "reasons": {}, "problems": {}}
"""What `rushes health --json` says if no process answers."""

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def add_subcommands(
    add: Callable[..., Any],
    add_group: Callable[[str], Any],
    help_of: Callable[[str], str],
    *,
    whole: Callable[[Sequence[Option]], argparse.ArgumentParser],
) -> None:
    """Add the subcommands to the command line.

    Args:
        add: Adds a subcommand.
        add_group: Adds a word in front of several.
        help_of: Returns the help for a key.
        whole: Returns the whole command line with these flags of prompts, for completion.
    """
    examining = add("cli.verb.doctor", doctor)
    examining.add_argument("--json", action="store_true", help=help_of("cli.doctor.json"))
    examining.add_argument("--offline", action="store_true", help=help_of("cli.doctor.offline"))
    examining.add_argument("--bundle", type=Path, metavar="FILE", help=help_of("cli.doctor.bundle"))
    asking = add("cli.verb.health", health)
    asking.add_argument("--json", action="store_true", help=help_of("cli.health.json"))
    exit_code = asking.add_mutually_exclusive_group()
    exit_code.add_argument("--strict", action="store_true", help=help_of("cli.health.strict"))
    exit_code.add_argument("--live", action="store_true", help=help_of("cli.health.live"))
    showing = add("cli.verb.config.show", config_show, among=add_group("cli.verb.config"))
    showing.add_argument("--json", action="store_true", help=help_of("cli.config.json"))
    completing = add("cli.verb.completion", partial(completion, whole))
    completing.add_argument("shell", choices=SHELLS, help=help_of("cli.completion.shell"))


def health(options: argparse.Namespace) -> int:
    """Print whether the running Rushes is ready, and its problems; 1 where `/readyz` says 503."""
    from bot.control.client import connect

    locale = language(options.lang)
    try:
        config = _config(options)
    except UserError as error:
        if not options.json:
            raise
        _print_json(_SILENT | {"reasons": {"config": error_text(error, locale)}})
        return 1

    async def ask() -> Health:
        async with connect(config.bot.data_dir) as client:
            return await client.health(locale)

    try:
        found = run_async(ask())
    except (UserError, StoreError) as error:
        causes = _causes(error, config)
        if not options.json:
            raise UserErrors.of(list(causes.values())) from error
        reasons = {key: error_text(cause, locale) for key, cause in causes.items()}
        _print_json(_SILENT | {"running": error.code in _ANSWERED, "reasons": reasons})
        return 1
    fine = options.live or (found.ready and not (options.strict and found.problems))
    if options.json:
        _print_json(_SILENT | {"running": True, **asdict(found)})
    else:
        for problem in {**found.problems, **found.reasons}.values():
            _print(problem)
        if found.ready:
            _print(text("cli.health.ready", locale, platforms=", ".join(found.platforms)))
        else:
            _print(text("cli.health.not_ready", locale))
    return 0 if fine else 1


def _causes(error: RushesError, config: Config) -> dict[str, RushesError]:
    """Return why no process answers, by key, including what keeps Rushes from starting."""
    from inference.store.maintenance import hindrance

    causes: dict[str, RushesError] = {"process": error}
    if error.code == "control.not_running":
        found = hindrance(config.bot.data_dir)
        if found is not None:
            causes["database"] = found
    return causes


def doctor(options: argparse.Namespace) -> int:
    """Examine everything; 1 when something that is configured does not work."""
    from bot.doctor import bundle, examination
    from bot.doctor.findings import Level

    locale = language(options.lang)
    if options.bundle is not None and os.path.lexists(options.bundle):
        raise UserError("cli.doctor.bundle_exists", path=str(options.bundle))
    config, mistake = _usable_config(options)
    found = run_async(examination.examine(config, locale, offline=options.offline, mistake=mistake))
    if options.json:
        data = [
            {"check": one.check, "level": one.level, "code": one.code, "text": one.text(locale)}
            for one in found
        ]
        _print_json(data)
    else:
        width = max(len(one.check) for one in found)
        for one in found:
            _print(f"{_MARKS[one.level]}  {one.check:<{width}}  {one.text(locale)}")
        numbers = Counter(one.level for one in found)
        _print(
            text(
                "cli.doctor.summary",
                locale,
                fails=numbers[Level.FAIL],
                count=numbers[Level.WARN],
                oks=numbers[Level.OK],
            )
        )
    if options.bundle is not None:
        bundle.write(options.bundle, found, config)
        sys.stderr.write(text("cli.doctor.bundled", locale, path=str(options.bundle)) + "\n")
    return 1 if any(one.level is Level.FAIL for one in found) else 0


def config_show(options: argparse.Namespace) -> int:
    """Print the effective configuration."""
    from bot.config.effective import format_config, values

    config = _config(options)
    if options.json:
        _print_json([one.as_dict() for one in values(config)])
        return 0
    for line in format_config(config):
        _print(line)
    return 0


def completion(
    whole: Callable[[Sequence[Option]], argparse.ArgumentParser], options: argparse.Namespace
) -> int:
    """Print the script that completes the whole command line in a shell."""
    import shtab

    from bot import factories

    flags: list[Option] = []
    with contextlib.suppress(RushesError):  # a script without them is better than none
        order = factories.describe_installation(_config(options)).options.order
        flags = [option for option in order if option.flag is not None]
    _print(shtab.complete(whole(flags), shell=options.shell))
    return 0
