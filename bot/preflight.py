"""Checks at start, before a chat is connected.

All mistakes are told at once, each with where it stands and what to do.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot import factories
from bot.assistant import check_assistant
from bot.config.sections import Config
from bot.config.tables import check_tables, without_mistakes
from bot.moderation import check_moderation
from bot.registry import Registry
from inference.domain.errors import RushesError, UserError, UserErrors
from inference.domain.watermark import WatermarkSettings
from inference.proxies import check_proxies
from inference.store.data_directory import check_folder, check_place
from inference.workers.environment import command, minimal

MARK_SECONDS = 60.0
"""Longest that drawing a mark may take; it is 0.3 s on an idle machine."""


def preflight(config: Config, mistake: RushesError | None = None) -> None:
    """Check a config against this machine; make the data directory if all is well.

    Args:
        config: What is usable of it.
        mistake: What was found when it was read.

    Raises:
        UserError: `config.*`, `model.*` or `slack.missing`; several together are `UserErrors`.
    """
    found = [*all_problems(config, mistake), *_data_folder(config, check_place)]
    if found:
        raise UserErrors.of(found)
    for problem in _data_folder(config, check_folder):
        raise problem


def all_problems(config: Config, mistake: RushesError | None = None) -> Iterator[RushesError]:
    """Yield every problem of a config once: those met while reading it, then those of checks.

    Args:
        config: What is usable of it.
        mistake: What was found when it was read.
    """
    read = mistake.errors if isinstance(mistake, UserErrors) else (mistake,) if mistake else ()
    yield from read
    told = [_subject(one) for one in read]
    wrong = {str(one.params.get("key")) for one in read}
    for one in problems(config):
        if _subject(one) not in told and wrong.isdisjoint(_missing(one)):
            yield one


def _missing(error: RushesError) -> set[str]:
    """Return the settings that are missing by an error: one told to be wrong was not left out."""
    match error.code:
        case "config.no_assistant_key":
            return {"assistant.api_key", "assistant.base_url"}
        case "config.safety_no_key":
            return {"safety.api_key", "assistant.api_key"}
        case "slack.missing":
            return {f"slack.{error.params['key']}"}
    return set()


def _subject(error: RushesError) -> tuple[str, dict[str, Any]]:
    """Return the subject of an error, without its line: only reading the file knows that."""
    return error.code, {name: value for name, value in error.params.items() if name != "where"}


def _data_folder(config: Config, check: Callable[[Path], None]) -> Iterator[RushesError]:
    where = config.where("bot", "data_dir")
    for error in _catch(lambda: check(config.bot.data_dir)):
        yield UserError("config.folder", where=where, problem=error)


def problems(config: Config) -> Iterator[RushesError]:
    """Yield every mistake in a config; nothing is changed on this machine."""
    checked = check_tables(
        config.models, config.plugins, lambda location: config.where(*map(str, location))
    )
    yield from (wrong for _, wrong in checked.mistakes)
    yield from _of_values(without_mistakes(config, checked))


def _of_values(config: Config) -> Iterator[RushesError]:
    """Yield the mistakes in a config whose tables are right."""
    registry = Registry.load(factories.load_plugins(config))
    for name in config.bot.platforms:
        yield from _catch(lambda name=name: registry.platform(name, config))  # type: ignore[misc]
    yield from _catch(check_proxies)
    yield from _slack(config)
    yield from _tenants(config, registry)
    yield from _weights(config)
    yield from _catch(lambda: factories.make_installation(config))
    yield from _catch(lambda: check_assistant(config, registry.assistants))
    yield from _catch(lambda: check_moderation(config, registry.moderators))
    yield from watermark_problems(config)
    yield from factories.find_missing_devices(config)


def _catch(check: Callable[[], object]) -> Iterator[RushesError]:
    try:
        check()
    except RushesError as error:
        yield error


def _tenants(config: Config, registry: Registry) -> Iterator[RushesError]:
    """Check that tenants are of known chats; a plugin's chat may have any name."""
    if any(":" in name for name in config.bot.platforms):
        return
    named = (
        ("bot", "allowed_tenants", config.bot.allowed_tenants),
        ("queue", "weights", frozenset(config.queue.weights)),
    )
    for section, key, tenants in named:
        for tenant in sorted(tenants):
            if tenant.partition(":")[0] not in registry.platforms:
                yield UserError(
                    "config.wrong_type",
                    where=config.where(section, key),
                    key=f"{section}.{key}",
                    problem=f"{tenant} is of no chat that is known",
                )


def _weights(config: Config) -> Iterator[RushesError]:
    """Check the folder for downloads; one that is not there yet is made when it is needed."""
    directory = config.models.directory
    if directory is None:
        return
    nearest = next(
        path for path in (directory.absolute(), *directory.absolute().parents) if path.exists()
    )
    if not nearest.is_dir():
        where = config.where("models", "directory")
        problem = f"{nearest} is not a folder"
        yield UserError("config.wrong_type", where=where, key="models.directory", problem=problem)


def _slack(config: Config) -> Iterator[RushesError]:
    section = config.slack
    if "slack" not in config.bot.platforms or (
        section.bot_token is None and section.client_id is None
    ):
        return
    for key, mode in section.missing():
        yield UserError("slack.missing", where=config.where("slack", key), key=key, mode=mode)


def check_watermark(config: Config) -> None:
    """Check the watermark, before minutes are spent on a clip.

    Raises:
        UserError: `config.mark_empty`, `config.mark_characters` or `config.*logo*`.
    """
    for problem in watermark_problems(config):
        raise problem


def watermark_problems(config: Config) -> Iterator[RushesError]:
    """Draw the watermark once in a child process: the bot loads no imaging library."""
    section = config.watermark
    if section.logo is None and not section.text.strip():
        yield UserError("config.mark_empty", where=config.where("watermark", "text"))
        return
    settings = WatermarkSettings(**dict(section))
    if settings == WatermarkSettings():
        return
    drawn = subprocess.run(  # noqa: S603 - a module of ours
        command("inference.media.watermark_check"),
        env=minimal(os.environ),
        input=json.dumps(asdict(settings), default=str),
        capture_output=True,
        text=True,
        check=False,
        timeout=MARK_SECONDS,
    )
    if drawn.returncode != 0:
        raise RuntimeError(drawn.stderr)
    if not drawn.stdout:
        return
    failure = json.loads(drawn.stdout)
    if characters := failure.get("characters"):
        where = config.where("watermark", "text")
        yield UserError("config.mark_characters", where=where, characters=characters)
    else:
        named = {"where": config.where("watermark", "logo"), "path": str(section.logo)}
        match failure["reason"]:
            case "missing logo":
                yield UserError("config.logo_missing", **named)
            case "transparent logo":
                yield UserError("config.logo_transparent", **named)
            case _:
                yield UserError("config.no_logo", **named)
