"""The command line: `rushes run`, and everything one can ask of a running Rushes from a shell.

Exit codes: 0 done, 1 refused or failed (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from bot.cli import handlers
from bot.cli.handlers import CliHandler, language
from commands.text.messages import error_text, text
from inference.domain.errors import RushesError, UserError

GUILD = "local"
"""The guild of a terminal whose user names none."""

INTERRUPTED = 130

LANG = "--lang"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    locale = language(_asked(arguments))
    parser = _parser(locale)
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.takes_prompt:
        parser.error(text("cli.unexpected", locale, words=" ".join(rest)))
    options.rest = rest
    try:
        handler: CliHandler = options.handler
        return handler(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RushesError, OSError, BaseExceptionGroup) as error:
        for sentence in error_text(_expected(error), locale).splitlines():
            sys.stderr.write(f"rushes: {sentence}\n")
        return 1


def _expected(error: BaseException) -> RushesError:
    """Return the error to tell the person; task groups wrap theirs.

    Raises:
        BaseException: `error` itself: it is a bug.
    """
    leaf = error
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]
    if isinstance(leaf, OSError):  # a disk or the network, which no code of ours foresaw
        problem = leaf.strerror or type(leaf).__name__
        return UserError("cli.os_error", path=leaf.filename or "rushes", problem=problem)
    if isinstance(leaf, RushesError):
        return leaf
    raise error


def _asked(arguments: Sequence[str] | None) -> str | None:
    """Return the language that a command line asks for: help has to know before it is read."""
    words = sys.argv[1:] if arguments is None else arguments
    for word, following in pairwise([*words, ""]):
        if word == LANG:
            return following
        if word.startswith(f"{LANG}="):
            return word.removeprefix(f"{LANG}=")
    return None


def _parser(locale: str) -> _Parser:
    def help_of(key: str) -> str:
        return text(key, locale).replace("%", "%%")

    parser_of = partial(_Parser, locale=locale)
    spoken = parser_of(add_help=False)
    # Without a default of its own: that of a verb would undo what was said in front of it.
    spoken.add_argument(
        LANG, dest="lang", metavar="CODE", default=argparse.SUPPRESS, help=help_of("cli.lang")
    )
    where = parser_of(add_help=False, parents=[spoken])
    where.add_argument("--config", type=Path, metavar="FILE", help=help_of("cli.config"))
    where.add_argument("--data-dir", type=Path, metavar="DIR", help=help_of("cli.data_dir"))
    who = parser_of(add_help=False, parents=[where])
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

    parser = parser_of(prog="rushes", description=help_of("cli.about"), parents=[spoken])
    parser.add_argument(
        "--version",
        action="version",
        version=f"Rushes {version('rushes')}",
        help=help_of("cli.version"),
    )
    parser.set_defaults(takes_prompt=False, lang=None)
    known: argparse._SubParsersAction[_Parser] = parser.add_subparsers(
        metavar="VERB", required=True
    )

    def add(name: str, key: str, handler: CliHandler, parent: _Parser) -> _Parser:
        told = help_of(key)
        added = known.add_parser(name, parents=[parent], help=told, description=told)
        added.set_defaults(handler=handler)
        return added

    add("run", "cli.verb.run", handlers.run, where)
    chat = add("chat", "cli.verb.chat", handlers.chat, who)
    chat.add_argument("--no-wait", dest="wait", action="store_false", help=help_of("cli.no_wait"))
    render = add("render", "cli.verb.render", handlers.render, where)
    render.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=help_of("cli.output")
    )
    for prompted, usage in (
        (render, "%(prog)s PROMPT [--ar 9:16 ...] -o FILE"),
        (add("submit", "cli.verb.submit", handlers.submit, who), "%(prog)s PROMPT [--ar 9:16 ...]"),
    ):
        prompted.usage = usage
        prompted.epilog = help_of("cli.flags")
        prompted.set_defaults(takes_prompt=True)
    add("queue", "cli.verb.queue", handlers.command("/rushes queue"), who).set_defaults(job="")
    cancel = add("cancel", "cli.verb.cancel", handlers.command("/rushes cancel"), who)
    cancel.add_argument("job", metavar="JOB", help=help_of("cli.job"))
    show = add("show", "cli.verb.show", handlers.job_or_file, who)
    show.add_argument("job", metavar="JOB|FILE", help=help_of("cli.job_or_file"))
    models = add("models", "cli.verb.models", handlers.models, where)
    models.add_argument(
        "what",
        choices=["list", "pull", "check"],
        nargs="?",
        default="list",
        help=help_of("cli.models_list"),
    )
    models.add_argument("model", nargs="?", metavar="MODEL", help=help_of("cli.models_model"))
    database = known.add_parser(
        "db", help=help_of("cli.verb.db"), description=help_of("cli.verb.db")
    )
    what = database.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.db.backup")
    saving = what.add_parser("backup", parents=[where], help=told, description=told)
    saving.add_argument("file", type=Path, metavar="FILE", help=help_of("cli.db.file"))
    saving.set_defaults(handler=handlers.db_backup)
    told = help_of("cli.verb.db.check")
    checking = what.add_parser("check", parents=[where], help=told, description=told)
    checking.set_defaults(handler=handlers.db_check)
    _add_slack(known, spoken, help_of)
    _add_discord(known, where, help_of)
    return parser


def _add_discord(
    known: argparse._SubParsersAction[_Parser], where: _Parser, help_of: Callable[[str], str]
) -> None:
    told = help_of("cli.verb.discord")
    platform = known.add_parser("discord", help=told, description=told)
    what = platform.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.discord.invite")
    inviting = what.add_parser("invite", parents=[where], help=told, description=told)
    inviting.set_defaults(handler=handlers.discord_invite)


def _add_slack(
    known: argparse._SubParsersAction[_Parser], spoken: _Parser, help_of: Callable[[str], str]
) -> None:
    told = help_of("cli.verb.slack")
    slack = known.add_parser("slack", help=told, description=told)
    what = slack.add_subparsers(metavar="WHAT", required=True)
    told = help_of("cli.verb.slack.manifest")
    app = what.add_parser("manifest", parents=[spoken], help=told, description=told)
    app.add_argument(
        "--mode", choices=["socket", "http"], default="socket", help=help_of("cli.slack.mode")
    )
    app.add_argument("--url", metavar="URL", help=help_of("cli.slack.url"))
    app.set_defaults(handler=handlers.slack_manifest)


class _Parser(argparse.ArgumentParser):
    """Speaks the person's language where argparse lets it.

    It takes no abbreviations: `--ad` must not become `--admin` in front of a prompt.
    """

    def __init__(self, *, locale: str, add_help: bool = True, **options: Any) -> None:
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self._locale = locale
        # A parser without help is a parent of others, which know its options by argparse's title.
        if add_help:
            self._positionals.title = text("cli.positionals", locale)
            self._optionals.title = text("cli.options", locale)
            self.add_argument("-h", "--help", action="help", help=text("cli.help", locale))

    def add_subparsers(self, **options: Any) -> Any:
        parser_of: Any = partial(_Parser, locale=self._locale)  # declared a class, only called
        return super().add_subparsers(parser_class=parser_of, **options)

    def format_usage(self) -> str:
        return self._with_usage(super().format_usage())

    def format_help(self) -> str:
        return self._with_usage(super().format_help())

    def _with_usage(self, formatted: str) -> str:
        """Put our word for usage in place of argparse's."""
        return text("cli.usage", self._locale) + formatted.removeprefix("usage: ")
