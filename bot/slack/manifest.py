"""The app's manifest, written from the schema: what an admin pastes into api.slack.com/apps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bot.slack.command_prefix import CommandPrefix
from bot.slack.inbound.modals import GENERATE
from bot.slack.inbound.shortcuts import ANIMATE
from commands.context import Command, CommandSet
from commands.handlers.help import usage
from commands.schema import Kind
from commands.text.messages import FALLBACK, text

NAME = "Rushes"

EVENTS_PATH = "/slack/events"
INSTALL_PATH = "/slack/install"
REDIRECT_PATH = "/slack/oauth_redirect"

SCOPES = (
    "app_mentions:read",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:read",
    "users:read",
)
"""No more than is used: no channel's history, no posting where the bot was not invited."""

EVENTS = (
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "channel_shared",
    "channel_unshared",
    "file_shared",
    "message.im",
    "tokens_revoked",
)

MAX_USAGE = 80
"""Characters of a usage hint: Slack takes 1000, but shows it on one line while people type."""

MAX_DESCRIPTION = 2000

_GROUPS = {"/rushes": "slack.command.everybody", "/rushes-admin": "slack.command.admin"}
"""What the commands with subcommands are about, as catalog keys."""

_CHOICES_SHOWN = 3


def manifest(
    commands: CommandSet, *, url: str | None, install_url: str | None = None, prefix: str = ""
) -> dict[str, Any]:
    """Return the manifest.

    Args:
        commands: All that there are.
        url: Where Slack delivers; None for Socket Mode, which needs no URL.
        install_url: Where people return to after they allowed an installation, if that is offered.
        prefix: What stands before the name of every command.

    Raises:
        UserError: `slack.reserved`: a command has a name that Slack keeps for itself.
    """
    locale = FALLBACK  # the manifest has one language only
    base = url.rstrip("/") if url else None
    oauth: dict[str, Any] = {"scopes": {"bot": list(SCOPES)}}
    subscriptions: dict[str, Any] = {"bot_events": list(EVENTS)}
    interactivity: dict[str, Any] = {"is_enabled": True}
    if install_url is not None:
        oauth["redirect_urls"] = [install_url.rstrip("/") + REDIRECT_PATH]
    if base is not None:
        subscriptions["request_url"] = base + EVENTS_PATH
        interactivity["request_url"] = base + EVENTS_PATH
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": NAME,
            "description": text("slack.manifest.about", locale),
            "background_color": "#1d1c1d",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": NAME, "always_online": True},
            "shortcuts": _shortcuts(locale),
            "slash_commands": [
                {**_command(name, commands, base, locale), "command": typed}
                for typed, name in CommandPrefix(commands, prefix).names().items()
            ],
        },
        "oauth_config": oauth,
        "settings": {
            "event_subscriptions": subscriptions,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": base is None,
            "token_rotation_enabled": False,
        },
    }


def _command(name: str, commands: CommandSet, base: str | None, locale: str) -> dict[str, Any]:
    ours = [command for command in commands if f"/{command.parent or command.name}" == name]
    group = ours[0].parent is not None
    about = text(_GROUPS[name], locale) if name in _GROUPS else ours[0].help(locale)
    described = {
        "command": name,
        "description": about[:MAX_DESCRIPTION],
        "usage_hint": (
            # What explains the others comes first.
            _short(sorted((each.name for each in ours), key="help".__ne__), " | ")
            if group
            else _short(_options(ours[0]), " ")
        ),
        # People and channels as ids, where commands are about them; prompts stay as typed.
        "should_escape": group,
    }
    return described if base is None else {**described, "url": base + EVENTS_PATH}


def _short(parts: Iterable[str], between: str) -> str:
    """Return the first parts as far as there is room; help names the others."""
    hint, more = "", f"{between}…"
    for part in parts:
        longer = f"{hint}{between}{part}" if hint else part
        if len(longer) + len(more) > MAX_USAGE:
            return hint + more
        hint = longer
    return hint


def _options(command: Command) -> Iterator[str]:
    """Yield the flags of a command for its usage hint; images have none."""
    for option in command.options:
        if option.name in command.fixed or option.kind is Kind.IMAGE:
            continue
        if option.flag is None:
            yield usage(option)
        elif option.kind is Kind.FLAG:
            yield f"[{usage(option)}]"
        else:
            examples = [str(choice) for choice in option.choices[:_CHOICES_SHOWN]]
            if len(examples) < len(option.choices) or not examples:
                examples.append("…")
            yield f"[{usage(option)} {'|'.join(examples)}]"


def _shortcuts(locale: str) -> list[dict[str, str]]:
    return [
        {
            "name": text("slack.shortcut.generate", locale),
            "type": "global",
            "callback_id": GENERATE,
            "description": text("slack.shortcut.generate_about", locale),
        },
        {
            "name": text("slack.shortcut.animate", locale),
            "type": "message",
            "callback_id": ANIMATE,
            "description": text("slack.shortcut.animate_about", locale),
        },
    ]
