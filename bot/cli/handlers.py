"""Handlers of the command line. Each imports what it needs: help must be instant."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from commands.text.messages import text
from inference.domain.errors import UserError
from inference.domain.job import JobState, is_job_id

if TYPE_CHECKING:
    from bot.config.sections import Config
    from bot.control.client import ControlClient, JobReport, Speaker
    from commands.text.card import Card

Result = TypeVar("Result")

CliHandler = Callable[[argparse.Namespace], int]

UNWANTED = frozenset({JobState.FAILED, JobState.REFUSED, JobState.EXPIRED, JobState.CANCELLED})
"""Ends of a job without a clip."""


def language(asked: str | None = None) -> str:
    """Return the language of help and of errors before there is a config.

    Args:
        asked: What `--lang` says, which wins over the environment.
    """
    return asked or _find_language() or "en"


def _find_language() -> str | None:
    """Return the language that the environment asks for, if it asks for one."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((value for name in names if (value := os.environ.get(name))), "C")
    return None if asked.split(".")[0] in {"C", "POSIX"} else asked


def log_to_stderr() -> None:
    """Keep the log out of what a script reads, until a config says more: plugins are read first."""
    from inference.log_setup import LogStyle, configure_logging

    configure_logging(LogStyle(level="warning"))


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    from bot.config.sources import UNREADABLE
    from bot.preflight import preflight
    from bot.serve import run
    from inference.log_setup import configure_logging, keep_log, log_uncaught

    config, mistake = _usable_config(options)
    if mistake is not None and mistake.code in UNREADABLE:  # nothing in it is known
        raise mistake
    configure_logging(config.log.style())
    log_uncaught()
    preflight(config, mistake)
    keep_log(config.bot.data_dir)
    return run_async(run(config))


def chat(options: argparse.Namespace) -> int:
    """Run the chat in this terminal."""
    from bot import factories
    from bot.chat.chat import chat
    from inference.log_setup import configure_logging

    config = _config(options, platforms=["terminal"])
    factories.check_devices(config)
    # Cards say what happens; log lines between them are for those who ask for more than usual.
    quiet = {"level": "error"} if config.log.level == "info" else {}
    configure_logging(config.log.model_copy(update=quiet).style())
    return run_async(chat(config, _speaker(options, config.bot.language), wait=options.wait))


def render(options: argparse.Namespace) -> int:
    """Render a clip in this process, without a queue."""
    from bot import factories
    from bot.cli.command_text import command_text
    from bot.cli.offline_render import each_of, open_slot, plan, render, tell_unknown
    from bot.cli.progress_bar import progress_bar
    from bot.preflight import check_watermark

    if options.many is None and options.output is None:
        options.parser.error(text("cli.no_output", language(options.lang)))
    config = _config(options)
    if options.many is not None:
        return _render_many(config, options)
    resolved = plan(
        config,
        command_text(options.rest, factories.describe_installation(config).options),
        options.output,
    )
    factories.check_devices(config)
    check_watermark(config)
    tell_unknown([resolved], language(options.lang))

    wanted = each_of(resolved, options.output)

    async def make() -> None:
        async with open_slot(config, [resolved.spec.model]) as slot:
            for number, (one, output) in enumerate(wanted, start=1):
                before = f"{number}/{len(wanted)} " if len(wanted) > 1 else ""
                with progress_bar(language(options.lang), one, before) as on_progress:
                    await render(config, slot, one, output, on_progress)
                _print(str(output))

    try:
        run_async(make())
    except PermissionError as error:
        raise UserError("output.not_writable", path=str(options.output.parent)) from error
    return 0


def _render_many(config: Config, options: argparse.Namespace) -> int:
    """Make a file of each line; `-o` names their folder, which is made if need be."""
    from bot import factories
    from bot.cli.command_text import command_text
    from bot.cli.render_many import read_lines, render_many
    from bot.preflight import check_watermark

    folder, lines = options.output or Path(), read_lines(options.many)
    factories.check_devices(config)
    check_watermark(config)
    flags = command_text(options.rest, factories.describe_installation(config).options)
    try:
        folder.mkdir(exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        missing = folder if folder.exists() else folder.parent
        raise UserError("output.no_directory", path=str(missing)) from error
    except OSError as error:
        raise UserError("output.not_writable", path=str(folder.parent)) from error
    return run_async(render_many(config, lines, flags, folder, language(options.lang)))


def submit(options: argparse.Namespace) -> int:
    """Submit a job to the running Rushes."""
    from bot import factories
    from bot.cli.command_text import command_text
    from bot.terminal.render import local_zone
    from commands.text.card import plain_line

    known = factories.describe_installation(_config(options)).options

    async def submit(client: ControlClient, speaker: Speaker) -> int:
        answer = await client.command(f"/generate {command_text(options.rest, known)}", speaker)
        job = answer.card.job
        if not answer.accepted or job is None:
            return _show(answer.card, accepted=False)
        ended = 0
        reports: list[JobReport] = []
        told: set[str] = set()
        for each in (await client.job(job, speaker)).together:
            report = await client.past_preparing(each, speaker)
            reports.append(report)
            if report.state not in UNWANTED:
                _print(each)
                *remarks, standing = (
                    plain_line(line, zone=local_zone()) for line in report.card.lines
                )
                fresh = [remark for remark in remarks if remark not in told]
                told.update(fresh)  # what holds for several is said once
                sys.stderr.writelines(f"{line}\n" for line in (*fresh, standing))
        for report in reports:
            if options.wait:
                report = await client.wait_until_settled(report.id, speaker)  # noqa: PLW2901 - the newer one
            if report.state in UNWANTED:
                ended = _show(report.result or report.card, accepted=False)
            elif report.state == JobState.DONE and report.result is not None:
                _show(report.result, accepted=True)
        return ended

    return ask_running(options, submit)


def command(line: str) -> CliHandler:
    """Return the subcommand that gives a command of the chat, with the job if there is one."""

    def handler(options: argparse.Namespace) -> int:
        async def give(client: ControlClient, speaker: Speaker) -> int:
            answer = await client.command(f"{line} {options.job}".strip(), speaker)
            return _show(answer.card, accepted=answer.accepted)

        return ask_running(options, give)

    return handler


def job_or_file(options: argparse.Namespace) -> int:
    """Show a job, or the recipe inside a file."""
    path = Path(options.job)
    # A folder of jobs has one for each, named after it.
    there = path.exists() and not (path.is_dir() and is_job_id(options.job.upper()))
    if there or path.is_symlink() or path.suffix or len(path.parts) > 1:
        from bot.cli import file_recipe

        for line in file_recipe.lines(path, language(options.lang)):
            _print(line)
        return 0

    async def show(client: ControlClient, speaker: Speaker) -> int:
        report = await client.job(options.job, speaker)
        return _show(report.result or report.card, accepted=True)

    return ask_running(options, show)


def models(options: argparse.Namespace) -> int:
    """List the models, download one, or verify one."""
    from bot import factories
    from bot.cli import models
    from inference.workers.device_report import read_device

    config, locale = _config(options), language(options.lang)
    if options.what == "list":
        factories.check_devices(config)
        for line in models.list_models(config, read_device(), locale):
            _print(line)
        return 0
    if options.model is None:
        options.parser.error(text("cli.models.which", locale, what=options.what))
    if options.what == "pull":
        for line in models.pull_weights(config, options.model, locale):
            _print(line)
        return 0
    sound = True
    for fine, line in models.verify_weights(config, options.model, locale):
        sound = sound and fine
        _print(line)
    return 0 if sound else 1


def plugins(options: argparse.Namespace) -> int:
    """List the plugins: what is loaded, and what failed and why."""
    from bot import plugin_report

    found = plugin_report.report(_config(options))
    if options.json:
        _print_json(asdict(found))
    else:
        for line in plugin_report.lines(found, language(options.lang)):
            _print(line)
    return 1 if found.failed else 0


def slack_manifest(options: argparse.Namespace) -> int:
    """Print the Slack app's manifest."""
    from bot import factories
    from bot.registry import Registry
    from bot.slack.manifest import manifest

    if options.mode == "http" and options.url is None:
        options.parser.error(text("cli.slack.no_url", language(options.lang)))
    url = options.url if options.mode == "http" else None
    config = _config(options)
    commands = Registry.load(factories.load_plugins(config)).commands(
        factories.describe_installation(config).options
    )
    prefix = config.slack.command_prefix
    _print_json(manifest(commands, url=url, install_url=options.url, prefix=prefix))
    return 0


def discord_invite(options: argparse.Namespace) -> int:
    """Print the URL that invites the bot."""
    from bot.discord.invite import invitation

    _print(invitation(_config(options).discord))
    return 0


# -- how -------------------------------------------------------------------------------------


def ask_running(
    options: argparse.Namespace, ask: Callable[[ControlClient, Speaker], Awaitable[int]]
) -> int:
    """Send a command to the process that owns the data directory."""
    from bot.config.caches import provide_caches
    from bot.config.location import ProcessLocation, find_location
    from bot.control.client import connect

    found = find_location(options.config, options.data_dir)
    if found is None:
        section = _config(options).bot
        place = ProcessLocation(data_directory=section.data_dir, language=section.language)
    else:
        place = found
        provide_caches(place.data_directory)

    async def talk() -> int:
        async with connect(place.data_directory) as client:
            return await ask(client, _speaker(options, place.language))

    try:
        return run_async(talk())
    except UserError as error:
        if found is not None and error.code == "control.not_running":
            _config(options)  # a mistake in it may be why
        raise


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end and return its result."""
    import asyncio

    return asyncio.run(work)


def _config(options: argparse.Namespace, **bot: object) -> Config:
    """Read the config; what the command line says wins over file and environment."""
    log_to_stderr()
    from bot.config.caches import provide_caches
    from bot.config.sources import load_config

    config = load_config(options.config, overrides=_overrides(options, **bot))
    provide_caches(config.bot.data_dir)
    return config


def _usable_config(options: argparse.Namespace) -> tuple[Config, UserError | None]:
    """Read as `_config` does, but leave out what is wrong, and return it beside the rest."""
    from bot.config.sources import load_usable

    try:
        return _config(options), None
    except UserError as error:
        return load_usable(options.config, overrides=_overrides(options)), error


def _overrides(options: argparse.Namespace, **bot: object) -> dict[str, object]:
    """Return the config values that the command line sets."""
    if options.data_dir is not None:
        bot["data_dir"] = options.data_dir
    return {"bot": bot} if bot else {}


def _speaker(options: argparse.Namespace, default_language: str) -> Speaker:
    from bot.control.client import Speaker

    return Speaker(
        name=options.name or _login(),
        guild=options.guild,
        admin=options.admin,
        roles=tuple(options.roles),
        channel=options.channel,
        language=options.lang or _find_language() or default_language,
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

    from bot.cli.shell_command_names import in_shell
    from bot.terminal.render import CardView, local_zone
    from commands.text.card import plain

    card = card.map_text(in_shell)
    if not accepted:
        sys.stderr.write(f"rushes: {plain(card)}\n")
        return 1
    Console(soft_wrap=True, highlight=False).print(CardView(card, zone=local_zone()))
    return 0


def _print_json(data: object) -> None:
    _print(json.dumps(data, indent=2, ensure_ascii=False))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
