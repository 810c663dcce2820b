"""The app's manifest, written from the schema: what an admin pastes into api.slack.com/apps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bot.slack.inbound.modals import GENERATE
from bot.slack.inbound.shortcuts import ANIMATE
from commands.catalog import COMMANDS
from commands.command import Command
from commands.handlers.help import usage
from commands.schema import Kind
from commands.text.messages import FALLBACK, text
from inference.domain.errors import UserError

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
"""No more than is used: no channel's history, no posting where nobody invited the bot."""

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

RESERVED = frozenset(
    {
        "active", "afk", "apps", "archive", "away", "call", "canvas", "close", "collapse",
        "converse", "dm", "dnd", "expand", "feed", "feedback", "help", "huddle", "huddles",
        "invite", "invite_people", "join", "keys", "kick", "leave", "list", "lists", "me", "msg",
        "mute", "open", "part", "people", "poll", "pref", "prefs", "remind", "remove", "rename",
        "search", "shortcuts", "shrug", "star", "status", "talk", "topic", "trigger", "unarchive",
        "who", "workflow",
    }
)  # fmt: skip
"""Slack's own commands: an app cannot have them, or people would not reach it."""

MAX_COMMAND = 32
"""Characters of a command, with its slash."""

MAX_USAGE = 1000
"""Characters of a usage hint."""

MAX_DESCRIPTION = 2000

_GROUPS = {"/rushes": "slack.command.everybody", "/rushes-admin": "slack.command.admin"}
"""What the commands with verbs are about, as catalog keys."""

_CHOICES_SHOWN = 3


def manifest(*, url: str | None, install_url: str | None = None) -> dict[str, Any]:
    """Return the manifest.

    Args:
        url: Where Slack delivers; None for Socket Mode, which needs no such place.
        install_url: Where people return to after they allowed an installation, if that is offered.

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
            "slash_commands": [_command(name, base, locale) for name in command_names(COMMANDS)],
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


def command_names(commands: Iterable[Command]) -> list[str]:
    """Return what is registered with Slack: verbs share the word in front of them.

    Raises:
        UserError: `slack.reserved`.
    """
    names = list(dict.fromkeys(f"/{command.parent or command.name}" for command in commands))
    for name in names:
        if name.lstrip("/") in RESERVED or len(name) > MAX_COMMAND:
            raise UserError("slack.reserved", command=name)
    return names


def _command(name: str, base: str | None, locale: str) -> dict[str, Any]:
    ours = [command for command in COMMANDS if f"/{command.parent or command.name}" == name]
    group = ours[0].parent is not None
    about = text(_GROUPS.get(name, ours[0].help_key), locale)
    described = {
        "command": name,
        "description": about[:MAX_DESCRIPTION],
        "usage_hint": (_verbs(ours) if group else _options(ours[0]))[:MAX_USAGE],
        # People and channels as ids, where commands are about them; prompts stay as typed.
        "should_escape": group,
    }
    return described if base is None else {**described, "url": base + EVENTS_PATH}


def _verbs(commands: Iterable[Command]) -> str:
    return " | ".join(command.name for command in commands)


def _options(command: Command) -> str:
    """Return how a command is typed; images come in other ways than by a flag."""
    shown = []
    for option in command.options:
        if option.name in command.fixed or option.kind is Kind.IMAGE:
            continue
        if option.flag is None:
            shown.append(usage(option))
        elif option.kind is Kind.FLAG:
            shown.append(f"[{usage(option)}]")
        else:
            examples = [str(choice) for choice in option.choices[:_CHOICES_SHOWN]]
            if len(examples) < len(option.choices) or not examples:
                examples.append("…")
            shown.append(f"[{usage(option)} {'|'.join(examples)}]")
    return " ".join(shown)


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
