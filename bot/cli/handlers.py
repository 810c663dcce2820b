"""Handlers of the command line. Each imports what it needs: help must be instant."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from commands.text.card import Card, plain
from commands.text.messages import error_text, text

if TYPE_CHECKING:
    from bot.config.sections import Config
    from bot.control.client import ControlClient, Speaker

CliHandler = Callable[[argparse.Namespace], int]

HIDDEN_PROMPT = "…"
"""Stands for the words of a clip whose guild keeps them out of its files."""


def language(asked: str | None = None) -> str:
    """Return the language of what is said before there is a config, and of all help.

    Args:
        asked: What `--lang` says, which wins over the environment.
    """
    return asked or _asked_language() or "en"


def _asked_language() -> str | None:
    """Return the language that the environment asks for, if it asks for one."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((value for name in names if (value := os.environ.get(name))), "C")
    return None if asked.split(".")[0] in {"C", "POSIX"} else asked


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    from bot.preflight import preflight
    from bot.serve import run
    from inference.log_setup import configure_logging, log_uncaught

    config = _config(options)
    configure_logging(config.log.style())
    log_uncaught()
    preflight(config)
    return asyncio.run(run(config))


def chat(options: argparse.Namespace) -> int:
    """Talk in this terminal."""
    from bot.chat.chat import chat
    from inference.log_setup import configure_logging

    config = _config(options, platforms=["terminal"])
    # Cards say what happens; log lines between them are for those who ask for more than usual.
    quiet = {"level": "error"} if config.log.level == "info" else {}
    configure_logging(config.log.model_copy(update=quiet).style())
    return asyncio.run(chat(config, _speaker(options, config), wait=options.wait))


def render(options: argparse.Namespace) -> int:
    """Make a clip here and now, without a server."""
    from bot.cli.command_text import command_text
    from bot.cli.offline_render import plan, render
    from bot.cli.progress_bar import progress_bar
    from inference.domain.errors import UserError

    config = _config(options)
    resolved = plan(config, command_text(options.rest), options.output)
    with progress_bar(language(options.lang)) as on_progress:
        try:
            asyncio.run(render(config, resolved, options.output, on_progress))
        except PermissionError as error:
            raise UserError("output.not_writable", path=str(options.output.parent)) from error
    _print(str(options.output))
    return 0


def submit(options: argparse.Namespace) -> int:
    """Ask the running Rushes for a clip."""
    from bot.cli.command_text import command_text
    from bot.terminal.render import local_zone
    from commands.text.card import plain_line

    async def submit(client: ControlClient, speaker: Speaker) -> int:
        answer = await client.command(f"/generate {command_text(options.rest)}", speaker)
        if not answer.accepted or answer.card.job is None:
            return _show(answer.card, accepted=False)
        _print(answer.card.job)
        report = await client.past_preparing(answer.card.job, speaker)
        sys.stderr.write(plain_line(report.card.lines[-1], zone=local_zone()) + "\n")
        return 0

    return _asking(options, submit)


def command(line: str) -> CliHandler:
    """Return the verb that gives a command of the chat, with the job if there is one."""

    def handler(options: argparse.Namespace) -> int:
        async def give(client: ControlClient, speaker: Speaker) -> int:
            answer = await client.command(f"{line} {options.job}".strip(), speaker)
            return _show(answer.card, accepted=answer.accepted)

        return _asking(options, give)

    return handler


def job_or_file(options: argparse.Namespace) -> int:
    """Show a job, or what is written in a file."""
    path = Path(options.job)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return _recipe(path, language(options.lang))

    async def show(client: ControlClient, speaker: Speaker) -> int:
        report = await client.job(options.job, speaker)
        return _show(report.result or report.card, accepted=True)

    return _asking(options, show)


def _recipe(path: Path, locale: str) -> int:
    from bot.cli.offline_render import written
    from commands.parsing.flags import render
    from inference.domain.errors import UserError
    from inference.domain.spec import Spec
    from inference.media.provenance import read_recipe
    from inference.text import clean, isolate, isolate_foreign

    recipe = read_recipe(path)
    try:
        spec = Spec.from_dict({"refine": False, "prompt": HIDDEN_PROMPT, **recipe})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("file.no_recipe", path=str(path)) from error
    # The file may be a stranger's: nothing in it may steer the terminal.
    _print(isolate(spec.prompt))
    for name, key in (("software", "cli.recipe.software"), ("job", "cli.recipe.job")):
        if name in recipe:
            _print(f"  {text(key, locale)}: {clean(str(recipe[name]))}")
    for name, value in written(spec).options.items():
        shown = isolate_foreign(str(value))
        _print(f"  {text(f'label.{name}', locale)}: {shown}")
    _print(text("cli.recipe.again", locale, line=clean(render(written(spec)))))
    return 0


def models(options: argparse.Namespace) -> int:
    """List the models, download one, or look one over."""
    from bot.cli import models
    from inference.domain.errors import UserError

    config, locale = _config(options), language(options.lang)
    if options.what == "list":
        for line in models.listed(config, locale):
            _print(line)
        return 0
    if options.model is None:
        raise UserError("model.which", what=options.what)
    if options.what == "pull":
        for line in models.pulled(config, options.model, locale):
            _print(line)
        return 0
    sound = True
    for fine, line in models.checked(config, options.model, locale):
        sound = sound and fine
        _print(line)
    return 0 if sound else 1


def db_backup(options: argparse.Namespace) -> int:
    """Copy the database while it is in use."""
    from inference.store.maintenance import backup

    size = backup(_config(options).bot.data_dir, options.file)
    locale = language(options.lang)
    _print(text("cli.db.saved", locale, path=str(options.file), kilobytes=size // 1024))
    return 0


def db_check(options: argparse.Namespace) -> int:
    """Look the database over."""
    from inference.store.maintenance import check

    health = check(_config(options).bot.data_dir)
    for problem in health.problems:
        _print(problem)
    _print(
        text(
            "cli.db.damaged" if health.problems else "cli.db.sound",
            language(options.lang),
            schema=health.schema,
            jobs=health.jobs,
            unfinished=health.unfinished,
            undelivered=health.undelivered,
        )
    )
    for key, rows in (("cli.db.undecodable", health.damaged), ("cli.db.aside", health.quarantined)):
        for row in rows:
            _print(text(key, language(options.lang), row=row))
    if health.obstacle is not None and not health.problems:
        _print(error_text(health.obstacle, language(options.lang)))
    return 1 if health.problems else 0


def slack_manifest(options: argparse.Namespace) -> int:
    """Print the Slack app's manifest."""
    import json

    from bot.slack.inbound.manifest import manifest
    from inference.domain.errors import UserError

    if options.mode == "http" and options.url is None:
        raise UserError("slack.no_url")
    url = options.url if options.mode == "http" else None
    written = manifest(url=url, install_url=options.url)
    _print(json.dumps(written, indent=2, ensure_ascii=False))
    return 0


def discord_invite(options: argparse.Namespace) -> int:
    """Print the address that invites the bot."""
    from bot.discord.invite import invitation

    _print(asyncio.run(invitation(_config(options).discord)))
    return 0


# -- how -------------------------------------------------------------------------------------


def _asking(
    options: argparse.Namespace, ask: Callable[[ControlClient, Speaker], Awaitable[int]]
) -> int:
    """Ask the process that owns the data directory."""
    from bot.control.client import connect

    config = _config(options)

    async def talk() -> int:
        async with connect(config.bot.data_dir) as client:
            return await ask(client, _speaker(options, config))

    return asyncio.run(talk())


def _config(options: argparse.Namespace, **bot: object) -> Config:
    """Read the config; what the command line says wins over file and environment."""
    from bot.config.caches import provide_caches
    from bot.config.sources import load_config

    if options.data_dir is not None:
        bot["data_dir"] = options.data_dir
    config = load_config(options.config, overrides={"bot": bot} if bot else {})
    provide_caches(config.bot.data_dir)
    return config


def _speaker(options: argparse.Namespace, config: Config) -> Speaker:
    from bot.control.client import Speaker

    return Speaker(
        name=options.name or _login(),
        guild=options.guild,
        admin=options.admin,
        roles=tuple(options.roles),
        channel=options.channel,
        language=options.lang or _asked_language() or config.bot.language,
        directory=Path.cwd(),
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return str(os.getuid())


def _show(card: Card, *, accepted: bool) -> int:
    """Print a card; a refusal goes to stderr as one sentence."""
    from rich.console import Console

    from bot.terminal.render import CardView, local_zone

    if not accepted:
        sys.stderr.write(f"rushes: {plain(card)}\n")
        return 1
    Console(soft_wrap=True, highlight=False).print(CardView(card, zone=local_zone()))
    return 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
