"""The command line: `rushes run`, and everything one can ask of a running Rushes from a shell.

Exit codes: 0 done, 1 refused or failed (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.card import Card, plain
from commands.messages import error_text, text
from inference.errors import RushesError

if TYPE_CHECKING:
    from bot.client import ControlClient, Speaker
    from bot.config import Config

GUILD = "local"
"""The guild of a terminal whose user names none."""

INTERRUPTED = 130

HIDDEN_PROMPT = "…"
"""Stands for the words of a clip whose guild keeps them out of its files."""

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.takes_prompt:
        parser.error(text("cli.unexpected", language(), words=" ".join(rest)))
    options.rest = rest
    try:
        verb: Verb = options.verb
        return verb(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RushesError, BaseExceptionGroup) as error:
        sys.stderr.write(f"rushes: {error_text(_expected(error), language())}\n")
        return 1


def language() -> str:
    """Return the language of what is said before there is a config, and of all help."""
    return _asked_language() or "en"


def _asked_language() -> str | None:
    """Return the language that the environment asks for, if it asks for one."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((value for name in names if (value := os.environ.get(name))), "C")
    return None if asked.split(".")[0] in {"C", "POSIX"} else asked


def _expected(error: BaseException) -> RushesError:
    """Return the error to tell the person; task groups wrap theirs.

    Raises:
        BaseException: `error` itself: it is a bug.
    """
    leaf = error
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]
    if isinstance(leaf, RushesError):
        return leaf
    raise error


# -- verbs -----------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from bot.app import run
    from bot.observe import configure_logging

    config = _config(options)
    configure_logging(config.log)
    return asyncio.run(run(config))


def _chat(options: argparse.Namespace) -> int:
    from bot.observe import configure_logging
    from bot.terminal.chat import chat

    config = _config(options, platforms=["terminal"])
    # Cards say what happens; log lines between them are for those who ask for more than usual.
    quiet = {"level": "error"} if config.log.level == "info" else {}
    configure_logging(config.log.model_copy(update=quiet))
    return asyncio.run(chat(config, _speaker(options, config), wait=options.wait))


def _render(options: argparse.Namespace) -> int:
    from bot.offline import plan, render
    from bot.progress import progress_bar
    from bot.typed import typed_line
    from inference.errors import UserError

    config = _config(options)
    resolved = plan(config, typed_line(options.rest), options.output)
    with progress_bar(language()) as on_progress:
        try:
            asyncio.run(render(config, resolved, options.output, on_progress))
        except PermissionError as error:
            raise UserError("output.not_writable", path=str(options.output.parent)) from error
    _print(str(options.output))
    return 0


def _submit(options: argparse.Namespace) -> int:
    from bot.terminal.render import local_zone
    from bot.typed import typed_line
    from commands.card import plain_line

    async def submit(client: ControlClient, speaker: Speaker) -> int:
        answer = await client.command(f"/generate {typed_line(options.rest)}", speaker)
        if not answer.accepted or answer.card.job is None:
            return _show(answer.card, accepted=False)
        _print(answer.card.job)
        report = await client.past_preparing(answer.card.job, speaker)
        sys.stderr.write(plain_line(report.card.lines[-1], zone=local_zone()) + "\n")
        return 0

    return _asking(options, submit)


def _command(line: str) -> Verb:
    """Return the verb that gives a command of the chat, with the job if there is one."""

    def verb(options: argparse.Namespace) -> int:
        async def give(client: ControlClient, speaker: Speaker) -> int:
            answer = await client.command(f"{line} {options.job}".strip(), speaker)
            return _show(answer.card, accepted=answer.accepted)

        return _asking(options, give)

    return verb


def _job_or_file(options: argparse.Namespace) -> int:
    path = Path(options.job)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return _recipe(path)

    async def show(client: ControlClient, speaker: Speaker) -> int:
        report = await client.job(options.job, speaker)
        return _show(report.result or report.card, accepted=True)

    return _asking(options, show)


def _recipe(path: Path) -> int:
    from bot.offline import written
    from commands.flags import render
    from inference.errors import UserError
    from inference.media.provenance import read_recipe
    from inference.spec import Spec

    recipe = read_recipe(path)
    try:
        spec = Spec.from_dict({"refine": False, "prompt": HIDDEN_PROMPT, **recipe})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("file.no_recipe", path=str(path)) from error
    locale = language()
    _print(spec.prompt)
    for name, key in (("software", "cli.recipe.software"), ("job", "cli.recipe.job")):
        if name in recipe:
            _print(f"  {text(key, locale)}: {recipe[name]}")
    for name, value in written(spec).options.items():
        _print(f"  {text(f'label.{name}', locale)}: {value}")
    _print(text("cli.recipe.again", locale, line=render(written(spec))))
    return 0


def _models(options: argparse.Namespace) -> int:
    from inference.engines import registry

    config = _config(options)
    default = config.models.default or next(iter(config.models.installed), "")
    for name in config.models.installed:
        model = registry.capabilities(name)
        facts = [model.title, *model.resolutions, *sorted(model.modes)]
        if name == default:
            facts.append(text("cli.models.default", language()))
        _print(f"{name}  {text('facts.separator', language()).join(facts)}")
    return 0


def _db_backup(options: argparse.Namespace) -> int:
    from inference.store.maintenance import backup

    size = backup(_config(options).bot.data_dir, options.file)
    _print(text("cli.db.saved", language(), path=str(options.file), kilobytes=size // 1024))
    return 0


def _db_check(options: argparse.Namespace) -> int:
    from inference.store.maintenance import check

    health = check(_config(options).bot.data_dir)
    for problem in health.problems:
        _print(problem)
    _print(
        text(
            "cli.db.damaged" if health.problems else "cli.db.sound",
            language(),
            schema=health.schema,
            jobs=health.jobs,
            unfinished=health.unfinished,
            undelivered=health.undelivered,
        )
    )
    return 1 if health.problems else 0


def _slack_manifest(options: argparse.Namespace) -> int:
    import json

    from bot.slack.manifest import manifest
    from inference.errors import UserError

    if options.mode == "http" and options.url is None:
        raise UserError("slack.no_url")
    url = options.url if options.mode == "http" else None
    written = manifest(url=url, install_url=options.url)
    _print(json.dumps(written, indent=2, ensure_ascii=False))
    return 0


def _discord_invite(options: argparse.Namespace) -> int:
    from bot.discord.invite import invitation

    _print(asyncio.run(invitation(_config(options).discord)))
    return 0


# -- how -------------------------------------------------------------------------------------


def _asking(
    options: argparse.Namespace, ask: Callable[[ControlClient, Speaker], Awaitable[int]]
) -> int:
    """Ask the process that owns the data directory."""
    from bot.client import connect

    config = _config(options)

    async def talk() -> int:
        async with connect(config.bot.data_dir) as client:
            return await ask(client, _speaker(options, config))

    return asyncio.run(talk())


def _config(options: argparse.Namespace, **bot: object) -> Config:
    """Read the config; what the command line says wins over file and environment."""
    from bot.config import load_config

    if options.data_dir is not None:
        bot["data_dir"] = options.data_dir
    return load_config(options.config, overrides={"bot": bot})


def _speaker(options: argparse.Namespace, config: Config) -> Speaker:
    from bot.client import Speaker

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


def _parser() -> _Parser:
    locale = language()

    def help_of(key: str) -> str:
        return text(key, locale).replace("%", "%%")

    where = _Parser(add_help=False)
    where.add_argument("--config", type=Path, metavar="FILE", help=help_of("cli.config"))
    where.add_argument("--data-dir", type=Path, metavar="DIR", help=help_of("cli.data_dir"))
    who = _Parser(add_help=False, parents=[where])
    who.add_argument("--as", dest="name", metavar="NAME", help=help_of("cli.as"))
    who.add_argument("--guild", default=GUILD, metavar="NAME", help=help_of("cli.guild"))
    who.add_argument("--channel", metavar="NAME", help=help_of("cli.channel"))
    who.add_argument(
        "--role",
        dest="roles",
        action="append",
        default=[],
        metavar="NAME",
        help=help_of("cli.role"),
    )
    who.add_argument("--admin", action="store_true", help=help_of("cli.admin"))
    who.add_argument("--lang", metavar="CODE", help=help_of("cli.lang"))

    parser = _Parser(prog="rushes", description=help_of("cli.about"))
    parser.add_argument("--version", action="version", version=f"Rushes {version('rushes')}")
    parser.set_defaults(takes_prompt=False)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(name: str, key: str, verb: Verb, parent: _Parser) -> _Parser:
        told = help_of(key)
        added = verbs.add_parser(name, parents=[parent], help=told, description=told)
        added.set_defaults(verb=verb)
        return added

    add("run", "cli.verb.run", _run, where)
    chat = add("chat", "cli.verb.chat", _chat, who)
    chat.add_argument("--no-wait", dest="wait", action="store_false", help=help_of("cli.no_wait"))
    render = add("render", "cli.verb.render", _render, where)
    render.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=help_of("cli.output")
    )
    for prompted, usage in (
        (render, "%(prog)s PROMPT [--ar 9:16 ...] -o FILE"),
        (add("submit", "cli.verb.submit", _submit, who), "%(prog)s PROMPT [--ar 9:16 ...]"),
    ):
        prompted.usage = usage
        prompted.epilog = help_of("cli.flags")
        prompted.set_defaults(takes_prompt=True)
    add("queue", "cli.verb.queue", _command("/rushes queue"), who).set_defaults(job="")
    cancel = add("cancel", "cli.verb.cancel", _command("/rushes cancel"), who)
    cancel.add_argument("job", metavar="JOB", help=help_of("cli.job"))
    show = add("show", "cli.verb.show", _job_or_file, who)
    show.add_argument("job", metavar="JOB|FILE", help=help_of("cli.job_or_file"))
    models = add("models", "cli.verb.models", _models, where)
    models.add_argument("what", choices=["list"], nargs="?", help=help_of("cli.models_list"))
    database = verbs.add_parser(
        "db", help=help_of("cli.verb.db"), description=help_of("cli.verb.db")
    )
    what = database.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.db.backup")
    saving = what.add_parser("backup", parents=[where], help=told, description=told)
    saving.add_argument("file", type=Path, metavar="FILE", help=help_of("cli.db.file"))
    saving.set_defaults(verb=_db_backup)
    told = help_of("cli.verb.db.check")
    checking = what.add_parser("check", parents=[where], help=told, description=told)
    checking.set_defaults(verb=_db_check)
    _add_slack(verbs, help_of)
    told = help_of("cli.verb.discord")
    platform = verbs.add_parser("discord", help=told, description=told)
    what = platform.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.discord.invite")
    inviting = what.add_parser("invite", parents=[where], help=told, description=told)
    inviting.set_defaults(verb=_discord_invite)
    return parser


def _add_slack(verbs: argparse._SubParsersAction[_Parser], help_of: Callable[[str], str]) -> None:
    told = help_of("cli.verb.slack")
    slack = verbs.add_parser("slack", help=told, description=told)
    what = slack.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.slack.manifest")
    app = what.add_parser("manifest", help=told, description=told)
    app.add_argument(
        "--mode", choices=["socket", "http"], default="socket", help=help_of("cli.slack.mode")
    )
    app.add_argument("--url", metavar="URL", help=help_of("cli.slack.url"))
    app.set_defaults(verb=_slack_manifest)


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviations: `--ad` must not become `--admin` in front of a prompt."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
