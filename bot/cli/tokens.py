"""Subcommands for tokens of the HTTP API: create, list, revoke."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from bot.cli.handlers import _config, _print, language, run_async
from commands.text.messages import text
from inference.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bot.config.sections import Config
    from bot.http.access.tokens import TokenTable


def add_subcommands(add: Callable[..., Any], group: Any, help_of: Callable[[str], str]) -> None:
    """Add the subcommands to the command line.

    Args:
        add: Adds a subcommand.
        group: `rushes token`.
        help_of: Returns the help for a key.
    """
    creating = add("cli.verb.token.create", create, among=group)
    creating.add_argument("--guild", required=True, metavar="NAME", help=help_of("cli.token.guild"))
    creating.add_argument("--name", required=True, metavar="NAME", help=help_of("cli.token.name"))
    creating.add_argument("--person", metavar="ID", help=help_of("cli.token.person"))
    creating.add_argument(
        "--role",
        dest="roles",
        action="append",
        default=[],
        metavar="ROLE",
        help=help_of("cli.token.role"),
    )
    creating.add_argument("--expires", metavar="TIME", help=help_of("cli.token.expires"))
    creating.add_argument("--webhook", metavar="URL", help=help_of("cli.token.webhook"))
    add("cli.verb.token.list", show, among=group)
    revoking = add("cli.verb.token.revoke", revoke, among=group)
    revoking.add_argument("token", metavar="ID", help=help_of("cli.token.id"))


def create(options: argparse.Namespace) -> int:
    """Make a token and print it: the only time that it can be read."""
    from bot.http.webhooks import check_url, new_secret
    from inference.clock import SystemClock

    config, webhook = _config(options), None
    if options.webhook is not None:
        check_url(options.webhook, config.http)
        webhook = (options.webhook, new_secret())
    with _open_tokens(config) as tokens:
        made = tokens.create(
            guild=options.guild,
            name=options.name,
            person=options.person,
            roles=frozenset(options.roles),
            expires=options.expires,
            now=SystemClock().now(),
            webhook=webhook,
        )
        named = tokens.find_roles(options.guild)
    _print(made)
    if webhook is not None:
        _print(webhook[1])
    locale = language(options.lang)
    sys.stderr.write(text("cli.token.once", locale) + "\n")
    for role in dict.fromkeys(options.roles):
        sys.stderr.write(_about_role(role, options.guild, named, locale) + "\n")
    if "http" not in config.bot.platforms:
        sys.stderr.write(text("cli.token.http_off", locale) + "\n")
    return 0


def _about_role(role: str, guild: str, named: Mapping[str, Sequence[str]], locale: str) -> str:
    """Return a note on the settings of the guild that name a role: any word may be a role."""
    separator = text("list.separator", locale)
    if role in named:
        keys = separator.join(named[role])
        return text("cli.token.role_counts", locale, role=role, guild=guild, settings=keys)
    key = "cli.token.role_unnamed" if named else "cli.token.no_roles"
    return text(key, locale, role=role, guild=guild, roles=separator.join(named))


def show(options: argparse.Namespace) -> int:
    """List the tokens, without their secrets."""
    from inference.clock import SystemClock

    config, locale = _config(options), language(options.lang)
    now = SystemClock().now()
    with _open_tokens(config) as tokens:
        for token in tokens.all():
            roles = ", ".join(sorted(token.roles)) or "-"
            if token.valid(now):
                state = text("cli.token.never", locale)
                if token.expires_at is not None:
                    state = text("cli.token.until", locale, day=_day(token.expires_at))
            else:
                key = "cli.token.expired" if token.revoked_at is None else "cli.token.revoked"
                state = text(key, locale)
            _print(f"{token.id}  {token.tenant}  {token.name}  {token.person}  {roles}  {state}")
    return 0


def revoke(options: argparse.Namespace) -> int:
    """Revoke a token, also in a Rushes that is running."""
    from inference.clock import SystemClock

    with _open_tokens(_config(options)) as tokens:
        token = tokens.revoke(options.token, SystemClock().now())
    _print(text("cli.token.is_revoked", language(options.lang), name=token.name))
    return 0


@contextlib.contextmanager
def _open_tokens(config: Config) -> Iterator[TokenTable]:
    """Open the tokens; their table is created if Rushes has never run here."""
    from bot.http.access.tokens import open_tokens, prepare
    from inference.log_setup import configure_logging
    from inference.store.data_directory import own

    configure_logging(config.log.model_copy(update={"level": "error"}).style())
    data_directory = config.bot.data_dir
    try:
        with own(data_directory):
            run_async(prepare(data_directory))
    except StoreError as error:
        if error.code != "store.locked":
            raise
    with open_tokens(data_directory) as tokens:
        yield tokens


def _day(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
