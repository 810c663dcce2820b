"""/rushes settings of the caller, and /rushes-admin settings of a guild and its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from commands.context import Call, Command, admin_command, rushes_command
from commands.handlers.arguments import incomplete_error, read_arguments
from commands.handlers.settings_texts import explain_setting, format_value, list_settings
from commands.installation import Installation
from commands.options import HERE, KEY, MODEL, VALUE
from commands.parsing.values import shorten
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.settings import TIMEZONE, NameKind, Rules, Scope, Setting, SettingSet, Stored
from commands.policy.settings_store import Change
from commands.policy.settings_values import find_setting, read_setting
from commands.refusal import Refusal
from commands.schema import Kind, Option, Permission, Value
from commands.text import replies
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from inference.domain.errors import UserError

LOG_LENGTH = 10
"""Changes that the log shows."""

_ACTION = Option(
    name="action",
    kind=Kind.CHOICE,
    choices=("show", "set", "reset"),
    worded=True,
    default="show",
)
_ADMIN_ACTION = replace(_ACTION, choices=("show", "set", "reset", "log"))
_OPTIONS = (_ACTION, KEY, VALUE)
_ADMIN_OPTIONS = (_ADMIN_ACTION, KEY, VALUE, HERE)


async def own_settings(call: Call) -> Card:
    """Show or change the caller's own settings."""
    given = _arguments(call, _OPTIONS)
    return await _act(call, given, Scope.USER, call.caller.id)


async def guild_settings(call: Call) -> Card:
    """Show or change the settings of the guild, or with `--channel` of this channel."""
    given = _arguments(call, _ADMIN_OPTIONS)
    if given.get("action") == "log":
        return await _log(call)
    if not given.get(HERE.name):
        return await _act(call, given, Scope.GUILD, "")
    if not call.channel.id:
        raise UserError("setting.no_channel")
    return await _act(call, given, Scope.CHANNEL, call.channel.id)


def _arguments(call: Call, options: tuple[Option, ...]) -> dict[str, Value]:
    """Return the arguments, with the offered key in place of a mistyped one.

    `settings KEY` explains a key and `settings KEY VALUE` sets it, without a word in front.
    """
    first, _, rest = call.text.strip().partition(" ")
    if first and not call.options and first.casefold() not in options[0].choices:
        if first.startswith("--") or not _is_key(first, call.policy.known):
            return read_arguments(call, options)
        valued = any(not word.startswith("--") for word in rest.split())
        call = replace(call, text=f"{'set' if valued else 'show'} {call.text}")
    return {**read_arguments(call, options), **_read_offers(call)}


def _is_key(typed: str, known: SettingSet) -> bool:
    """Return whether a word names a setting, or is like the name of one."""
    try:
        find_setting(typed, known)
    except Refusal:
        return True
    except UserError:
        return False
    return True


def _read_offers(call: Call) -> dict[str, Value]:
    return {name: value for name, value in call.changes.items() if value is not None}


async def _act(call: Call, given: dict[str, Value], scope: Scope, subject: str) -> Card:
    key, typed = str(given.get(KEY.name, "")), str(given.get(VALUE.name, ""))
    command = "/rushes settings" if scope is Scope.USER else "/rushes-admin settings"
    action = given.get("action", "show")
    if action == "set" and typed:
        setting = _settable(key, scope, call.policy.known)
        model = _model_in_force(await call.rules(), scope, call.installation)
        plain_id = call.directory.plain_id
        value = read_setting(setting, typed, call.installation, model=model, plain_id=plain_id)
        value = await _with_known_names(call, setting, value)
        await _change(call, Change(scope=scope, subject=subject, setting=setting, value=value))
        said = format_value(value, call.locale)
        if setting.in_gpu_seconds:
            return replies.note("setting.done_seconds", call.locale, key=setting.key, value=said)
        return replies.note("setting.done", call.locale, key=setting.key, value=said)
    if not key and action != "show":
        raise incomplete_error(*((KEY, VALUE) if action == "set" else (KEY,)), after=str(action))
    if action == "reset":
        setting = _settable(key, scope, call.policy.known)
        await _change(call, Change(scope=scope, subject=subject, setting=setting, value=None))
        return replies.note("setting.undone", call.locale, key=setting.key)
    rules = await call.rules()
    if scope is not Scope.USER:
        rules = replace(rules, user={})
    if not key:
        return list_settings(call, rules, scope, command)
    return explain_setting(call, find_setting(key, call.policy.known), rules, command)


def _model_in_force(rules: Rules, scope: Scope, installation: Installation) -> str | None:
    """Return the model that was chosen where a setting of a scope holds, while it is installed."""
    layers = list(Scope)[: list(Scope).index(scope) + 1]
    chosen = [rules.of(layer).get(f"default.{MODEL.name}") for layer in layers]
    names = {model.name for model in installation.models}
    return next((str(name) for name in reversed(chosen) if name in names), None)


async def _with_known_names(call: Call, setting: Setting, value: Stored) -> Stored:
    """Return a value with the ids of the roles, channels or people that it names.

    Raises:
        UserError: `setting.no_role`, `setting.unknown_channel`, `setting.no_person`: an unknown
            name would lock out all people, or none.
    """
    match setting.naming:
        case NameKind.ROLES:
            find = call.directory.find_role
        case NameKind.CHANNELS:
            find = call.directory.find_channel
        case NameKind.PEOPLE:
            find = call.directory.find_person
        case None:
            return value
    names = list(cast("Iterable[str]", value))
    found = dict(zip(names, await asyncio.gather(*map(find, names)), strict=True))
    for name, known in found.items():
        if known is None:
            raise _unknown(setting.naming, name)
    if isinstance(value, dict):
        return {str(found[name]): amount for name, amount in value.items()}
    return list(dict.fromkeys(str(found[name]) for name in names))


def _unknown(naming: NameKind, name: str) -> UserError:
    match naming:
        case NameKind.ROLES:
            return UserError("setting.no_role", name=shorten(name))
        case NameKind.CHANNELS:
            return UserError("setting.unknown_channel", name=shorten(name))
        case NameKind.PEOPLE:
            return UserError("setting.no_person", name=shorten(name))


async def _change(call: Call, change: Change) -> None:
    await call.policy.settings.change(call.channel.tenant, [change], call.caller.requester)


def _settable(key: str, scope: Scope, known: SettingSet) -> Setting:
    setting = find_setting(key, known)
    if scope in setting.scopes:
        return setting
    if scope is Scope.USER:
        raise UserError("setting.not_yours", key=setting.key)
    raise UserError("setting.not_for_channels", key=setting.key)


async def _log(call: Call) -> Card:
    """Show who changed what, newest first, by the clock of the guild."""
    entries = await call.policy.audit.recent(call.channel.tenant, limit=LOG_LENGTH)
    if call.caller.may(Permission.OPERATOR):  # what the operator does everywhere is theirs to see
        entries += await call.policy.audit.recent(EVERYWHERE, limit=LOG_LENGTH)
        entries = sorted(entries, key=lambda entry: entry.at, reverse=True)[:LOG_LENGTH]
    if not entries:
        return replies.note("audit.empty", call.locale)
    zone = ZoneInfo((await call.rules()).value(TIMEZONE))
    lines: list[Line] = [
        (
            text(
                "audit.line",
                call.locale,
                at=datetime.fromtimestamp(entry.at, zone).strftime("%Y-%m-%d %H:%M"),
                name=entry.actor.name or text("audit.forgotten", call.locale),
                what=" ".join(filter(None, [entry.key, entry.subject])),
                before=format_value(entry.before, call.locale),
                after=format_value(entry.after, call.locale),
            ),
        )
        for entry in entries
    ]
    return Card(
        kind=CardKind.INFO,
        title=text("audit.title", call.locale, zone=zone.key),
        lines=tuple(lines),
    )


def commands() -> tuple[Command, ...]:
    """Return the commands of this module for all people."""
    return (rushes_command(name="settings", handler=own_settings, options=_OPTIONS),)


def admin_commands() -> tuple[Command, ...]:
    """Return the commands of this module for admins."""
    return (admin_command(name="settings", handler=guild_settings, options=_ADMIN_OPTIONS),)
