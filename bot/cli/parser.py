"""The argument parser of `rushes` and all its subcommands.

Exit codes: 0 done, 1 refused or failed (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from bot.cli import database, handlers, mcp, operation, tokens
from bot.cli.flags_help import flag_value, flags_help
from bot.cli.handlers import CliHandler, language
from bot.cli.shell_command_names import in_shell
from commands.schema import Option
from commands.text.messages import error_text, is_known, languages, text
from commands.text.option_texts import option_help
from inference.domain.errors import RushesError, UserError, unwrap_group

GUILD = "local"
"""The guild of a terminal whose user names none."""

INTERRUPTED = 130

LANG = "--lang"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = flag_value(words, LANG)  # help has to know it
    locale = language(asked)
    parser = _parser(locale, words)
    if asked == "":
        parser.error(error_text(UserError("value.missing", option=LANG), locale))
    if asked is not None and not is_known(asked):
        known = sorted(languages())
        parser.error(text("cli.no_language", locale, language=asked, known=known))
    # Not a default of the parser: all parsers share the option, and would have it then.
    options, rest = parser.parse_known_args(arguments, argparse.Namespace(lang=None))
    if rest and not options.takes_prompt:
        options.parser.error(text("cli.unexpected", locale, words=" ".join(rest)))
    options.rest = rest
    try:
        handler: CliHandler = options.handler
        return handler(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RushesError, OSError, BaseExceptionGroup) as error:
        making = {"verb": options.parser.prog} if options.handler is handlers.render else {}
        for sentence in error_text(_find_expected(error), locale).splitlines():
            sys.stderr.write(f"rushes: {in_shell(sentence, **making)}\n")
        return 1


def _find_expected(error: BaseException) -> RushesError:
    """Return the error to show the person.

    Raises:
        BaseException: `error` itself: it is a bug.
    """
    leaf = unwrap_group(error)
    if isinstance(leaf, OSError):  # a disk or the network, which no code of ours foresaw
        problem = leaf.strerror or type(leaf).__name__
        return UserError("cli.os_error", path=leaf.filename or "rushes", problem=problem)
    if isinstance(leaf, RushesError):
        return leaf
    raise error


def _add_flags(parser: _Parser, flags: Sequence[Option], locale: str) -> None:
    for option in flags:
        words = [str(choice) for choice in option.choices]
        # Shells would take a value of two words for two.
        choices = None if any(" " in word for word in words) else words or None
        told = option_help(option, locale).replace("%", "%%")
        parser.add_argument(f"--{option.flag}", choices=choices, help=told)


def _add_prompt_commands(
    add: Callable[..., Any], who: _Parser, help_of: Callable[[str], str]
) -> list[Any]:
    """Add the subcommands that take a prompt, and return them."""
    render = add("cli.verb.render", handlers.render)
    render.add_argument("-o", "--output", type=Path, metavar="FILE", help=help_of("cli.output"))
    render.add_argument("--many", metavar="FILE", help=help_of("cli.many"))
    one, many = "PROMPT [--aspect 9:16 ...] -o FILE", "--many FILE [--aspect 9:16 ...] [-o FOLDER]"
    render.usage = f"%(prog)s {one}\n       %(prog)s {many}"
    submit = add("cli.verb.submit", handlers.submit, who)
    submit.add_argument("--wait", action="store_true", help=help_of("cli.wait"))
    submit.usage = "%(prog)s PROMPT [--aspect 9:16 ...] [--wait]"
    return [render, submit]


def _parser(locale: str, words: Sequence[str], flags: Sequence[Option] = ()) -> _Parser:
    def help_of(key: str) -> str:
        return text(key, locale).replace("%", "%%")

    parser_of = partial(_Parser, locale=locale)
    language_option = parser_of(add_help=False)
    # Without a default: that of a subcommand would undo what was said in front of it.
    language_option.add_argument(
        LANG, dest="lang", metavar="CODE", default=argparse.SUPPRESS, help=help_of("cli.lang")
    )
    where = parser_of(add_help=False, parents=[language_option])
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

    parser = parser_of(prog="rushes", description=help_of("cli.about"), parents=[language_option])
    parser.add_argument("--version", action=_Version, nargs=0, help=help_of("cli.version"))
    parser.set_defaults(takes_prompt=False)
    known = parser.add_subparsers(metavar="VERB", required=True)

    def add(key: str, handler: CliHandler, parent: _Parser = where, among: Any = known) -> _Parser:
        told, name = help_of(key), key.rpartition(".")[2]
        added: _Parser = among.add_parser(name, parents=[parent], help=told, description=told)
        added.set_defaults(handler=handler, parser=added)
        return added

    def add_group(key: str) -> Any:
        told, name = help_of(key), key.rpartition(".")[2]
        group = known.add_parser(name, parents=[language_option], help=told, description=told)
        return group.add_subparsers(metavar="WHAT", required=True)

    add("cli.verb.run", handlers.run)
    add("cli.verb.chat", handlers.chat, who).add_argument(
        "--no-wait", dest="wait", action="store_false", help=help_of("cli.no_wait")
    )
    for prompted in _add_prompt_commands(add, who, help_of):
        prompted.more_help = partial(flags_help, words, locale)
        prompted.set_defaults(takes_prompt=True)
        _add_flags(prompted, flags, locale)
    add("cli.verb.queue", handlers.command("/rushes queue"), who).set_defaults(job="")
    add("cli.verb.cancel", handlers.command("/rushes cancel"), who).add_argument(
        "job", metavar="JOB", help=help_of("cli.job")
    )
    add("cli.verb.finish", handlers.command("/rushes finish"), who).add_argument(
        "job", metavar="JOB", help=help_of("cli.job")
    )
    add("cli.verb.show", handlers.job_or_file, who).add_argument(
        "job", metavar="JOB|FILE", help=help_of("cli.job_or_file")
    )
    add("cli.verb.mcp", mcp.serve, who)
    models = add("cli.verb.models", handlers.models)
    models.add_argument(
        "what",
        choices=["list", "pull", "check"],
        nargs="?",
        default="list",
        help=help_of("cli.models_list"),
    )
    models.add_argument("model", nargs="?", metavar="MODEL", help=help_of("cli.models_model"))
    add("cli.verb.plugins", handlers.plugins).add_argument(
        "--json", action="store_true", help=help_of("cli.plugins_json")
    )
    databases = add_group("cli.verb.db")
    backup = add("cli.verb.db.backup", database.backup, among=databases)
    backup.add_argument("file", type=Path, nargs="?", metavar="FILE", help=help_of("cli.db.file"))
    add("cli.verb.db.check", database.check, among=databases)
    restore = add("cli.verb.db.restore", database.restore, among=databases)
    restore.add_argument("file", type=Path, metavar="FILE", help=help_of("cli.db.backup_file"))
    manifest = add(
        "cli.verb.slack.manifest", handlers.slack_manifest, among=add_group("cli.verb.slack")
    )
    manifest.add_argument(
        "--mode", choices=["socket", "http"], default="socket", help=help_of("cli.slack.mode")
    )
    manifest.add_argument("--url", metavar="URL", help=help_of("cli.slack.url"))
    add("cli.verb.discord.invite", handlers.discord_invite, among=add_group("cli.verb.discord"))
    tokens.add_subcommands(add, add_group("cli.verb.token"), help_of)
    operation.add_subcommands(
        add, add_group, help_of, whole=lambda flags: _parser(locale, (), flags)
    )
    return parser


class _Version(argparse.Action):
    """Action that prints the version, looked up only then because it takes long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - help must be instant

        sys.stdout.write(f"Rushes {version('rushes')}\n")
        parser.exit()


_MISSING = re.compile(r"the following arguments are required: (?P<words>.+)")
_NO_VALUE = re.compile(r"argument (?P<option>\S+): expected one argument")
"""What argparse says of wrong usage; what it says otherwise is told as it is."""


class _Parser(argparse.ArgumentParser):
    """Argument parser with messages in the person's language, where argparse allows it.

    It takes no abbreviations: `--ad` must not become `--admin` in front of a prompt.
    """

    def __init__(self, *, locale: str, add_help: bool = True, **options: Any) -> None:
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self._locale = locale
        self.more_help: Callable[[], str] | None = None
        """Writes what is read from the config, when it is asked for."""
        # A parser without help is a parent of others, which know its options by argparse's title.
        if add_help:
            self._positionals.title = text("cli.positionals", locale)
            self._optionals.title = text("cli.options", locale)
            self.add_argument("-h", "--help", action="help", help=text("cli.help", locale))

    def add_subparsers(self, **options: Any) -> Any:
        parser_of: Any = partial(_Parser, locale=self._locale)  # declared a class, only called
        return super().add_subparsers(parser_class=parser_of, **options)

    def error(self, message: str) -> NoReturn:
        if found := _MISSING.fullmatch(message):
            message = text("cli.missing", self._locale, words=found["words"])
        elif found := _NO_VALUE.fullmatch(message):
            problem = UserError("value.missing", option=found["option"])
            message = error_text(problem, self._locale)
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is not among the choices, with the nearest of them or the list."""
        choices = [str(choice) for choice in action.choices or ()]
        if action.choices is None or value in action.choices:
            return
        from commands.parsing.suggestions import closest  # noqa: PLC0415 - help must be instant

        guess = closest(str(value), choices)
        key = "cli.mistyped" if guess else "cli.no_choice"
        self.error(text(key, self._locale, value=value, suggestion=guess, legal=choices))

    def format_usage(self) -> str:
        return self._with_usage(super().format_usage())

    def format_help(self) -> str:
        more = "" if self.more_help is None else f"\n{self.more_help()}\n"
        return self._with_usage(super().format_help()) + more

    def _with_usage(self, formatted: str) -> str:
        """Put our word for usage in place of argparse's."""
        return text("cli.usage", self._locale) + formatted.removeprefix("usage: ")
