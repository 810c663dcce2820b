"""/rushes settings for oneself, and /rushes-admin settings for a guild and its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, cast
from zoneinfo import ZoneInfo

from commands.command import Command, Visibility
from commands.context import Call
from commands.handlers.arguments import arguments
from commands.installation import Installation
from commands.options import HERE, KEY, MODEL, VALUE
from commands.parsing.values import shown
from commands.policy.operator_rules import EVERYWHERE
from commands.policy.settings import (
    DEFAULTS,
    SETTINGS,
    TIMEZONE,
    UNLIMITED,
    Naming,
    Rules,
    Scope,
    Setting,
    Shape,
    Stored,
)
from commands.policy.settings_store import Change
from commands.policy.settings_values import named, read
from commands.schema import Kind, Option, Permission, Value
from commands.text import cards
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from inference.domain.errors import UserError

LOG_LENGTH = 10
"""Changes that the log shows."""

VALUE_LENGTH = 80
"""Characters of a value in a list."""

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


async def own(call: Call) -> Card:
    """Show what holds for the caller here, or change what they set for themselves."""
    given = arguments(call, _OPTIONS)
    return await _act(call, given, Scope.USER, call.caller.id)


async def of_guild(call: Call) -> Card:
    """Show or change what is set for the guild, or with `--channel` for this channel."""
    given = arguments(call, _ADMIN_OPTIONS)
    if given.get("action") == "log":
        return await _log(call)
    if not given.get(HERE.name):
        return await _act(call, given, Scope.GUILD, "")
    if not call.channel.id:
        raise UserError("setting.no_channel")
    return await _act(call, given, Scope.CHANNEL, call.channel.id)


async def _act(call: Call, given: dict[str, Value], scope: Scope, subject: str) -> Card:
    key, typed = str(given.get(KEY.name, "")), str(given.get(VALUE.name, ""))
    match given.get("action", "show"):
        case "set":
            setting = _settable(key, scope)
            if not typed:
                raise UserError("value.missing", option=setting.key)
            model = _model_in_force(await call.rules(), scope, call.installation)
            value = await _with_known_names(
                call, setting, read(setting, typed, call.installation, model=model)
            )
            change = Change(scope=scope, subject=subject, setting=setting, value=value)
            await _change(call, change)
            return cards.note(
                "setting.done", call.locale, key=setting.key, value=written(value, call.locale)
            )
        case "reset":
            setting = _settable(key, scope)
            change = Change(scope=scope, subject=subject, setting=setting, value=None)
            await _change(call, change)
            return cards.note("setting.undone", call.locale, key=setting.key)
        case _:
            rules = await call.rules()
            return _explained(call, named(key), rules) if key else _listed(call, rules, scope)


def _model_in_force(rules: Rules, scope: Scope, installation: Installation) -> str | None:
    """Return the model that was chosen where a setting of a scope holds, while it is installed."""
    layers = list(Scope)[: list(Scope).index(scope) + 1]
    chosen = [rules.of(layer).get(DEFAULTS[MODEL.name].key) for layer in layers]
    names = {model.name for model in installation.models}
    return next((str(name) for name in reversed(chosen) if name in names), None)


async def _with_known_names(call: Call, setting: Setting, value: Stored) -> Stored:
    """Return a value with the ids of the roles, channels or people that it names.

    Raises:
        UserError: `setting.no_role`, `setting.unknown_channel`, `setting.no_person`: a name that
            nobody has would lock out everybody, or nobody.
    """
    match setting.naming:
        case Naming.ROLES:
            find = call.directory.find_role
        case Naming.CHANNELS:
            find = call.directory.find_channel
        case Naming.PEOPLE:
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


def _unknown(naming: Naming, name: str) -> UserError:
    match naming:
        case Naming.ROLES:
            return UserError("setting.no_role", name=shown(name))
        case Naming.CHANNELS:
            return UserError("setting.unknown_channel", name=shown(name))
        case Naming.PEOPLE:
            return UserError("setting.no_person", name=shown(name))


async def _change(call: Call, change: Change) -> None:
    await call.policy.settings.change(call.channel.tenant, [change], call.caller.requester)


def _settable(key: str, scope: Scope) -> Setting:
    if not key:
        raise UserError("value.missing", option=KEY.name)
    setting = named(key)
    if scope in setting.scopes:
        return setting
    if scope is Scope.USER:
        raise UserError("setting.not_yours", key=setting.key)
    raise UserError("setting.not_for_channels", key=setting.key)


def _listed(call: Call, rules: Rules, scope: Scope) -> Card:
    """List what is set, and what could be."""
    seen = [Scope.USER] if scope is Scope.USER else []
    lines: list[Line] = []
    for setting in SETTINGS.values():
        value, origin = rules.found(setting)
        concerns = scope in setting.scopes or (scope is Scope.CHANNEL and origin == Scope.GUILD)
        if concerns and origin in {Scope.GUILD, Scope.CHANNEL, *seen}:
            lines.append((_line(call, setting, value, origin),))
    if not lines:
        lines.append((text("setting.none", call.locale),))
    keys = [setting.key for setting in SETTINGS.values() if scope in setting.scopes]
    lines.append((text("setting.possible", call.locale, keys=", ".join(keys)),))
    return Card(
        kind=CardKind.INFO, title=text(f"setting.title.{scope}", call.locale), lines=tuple(lines)
    )


def _explained(call: Call, setting: Setting, rules: Rules) -> Card:
    value, origin = rules.found(setting)
    return Card(
        kind=CardKind.INFO,
        title=setting.key,
        lines=(
            (text(setting.help_key, call.locale),),
            (_line(call, setting, value, origin),),
            (_legal(setting, call),),
        ),
    )


def _line(call: Call, setting: Setting, value: Any, origin: str) -> str:
    return text(
        "info.line",
        call.locale,
        name=setting.key,
        value=written(value, call.locale),
        origin=text(f"origin.{origin}", call.locale),
    )


def _legal(setting: Setting, call: Call) -> str:
    """Say in words what can be set."""
    option, locale = setting.option, call.locale
    if setting.shape is not Shape.VALUE:
        return text(f"setting.shape.{setting.shape}", locale)
    if option.kind is Kind.FLAG:
        return text("setting.shape.switch", locale)
    if option.kind is Kind.MODEL:
        return text(
            "help.choices", locale, choices=[model.name for model in call.installation.models]
        )
    if option.choices:
        return text("help.choices", locale, choices=list(option.choices))
    if option.range is not None:
        low, high = option.range.lowest, option.range.highest
        return text("help.range", locale, lowest=low, highest=high)
    return text("setting.shape.text", locale, limit=option.max_length)


def written(value: Any, locale: str) -> str:
    """Write a value as people would type it."""
    match value:
        case None:
            return text("value.unset", locale)
        case bool():
            return text("value.yes" if value else "value.no", locale)
        case list():
            shown = ", ".join(value)
        case dict():
            shown = ", ".join(
                f"{name}={UNLIMITED if amount is None else amount}"
                for name, amount in value.items()
            )
        case _:
            shown = str(value)
    return shown if len(shown) <= VALUE_LENGTH else shown[: VALUE_LENGTH - 1] + "…"


async def _log(call: Call) -> Card:
    """Show who changed what, newest first, by the clock of the guild."""
    entries = await call.policy.audit.recent(call.channel.tenant, limit=LOG_LENGTH)
    if call.caller.may(Permission.OPERATOR):  # what the operator does everywhere is theirs to see
        entries += await call.policy.audit.recent(EVERYWHERE, limit=LOG_LENGTH)
        entries = sorted(entries, key=lambda entry: entry.at, reverse=True)[:LOG_LENGTH]
    if not entries:
        return cards.note("audit.empty", call.locale)
    zone = ZoneInfo((await call.rules()).value(TIMEZONE))
    lines: list[Line] = [
        (
            text(
                "audit.line",
                call.locale,
                at=datetime.fromtimestamp(entry.at, zone).strftime("%Y-%m-%d %H:%M"),
                name=entry.actor.name or text("audit.forgotten", call.locale),
                what=" ".join(filter(None, [entry.key, entry.subject])),
                before=written(entry.before, call.locale),
                after=written(entry.after, call.locale),
            ),
        )
        for entry in entries
    ]
    return Card(kind=CardKind.INFO, title=text("audit.title", call.locale), lines=tuple(lines))


_private = partial(Command, visibility=Visibility.CALLER)

COMMANDS = (_private(parent="rushes", name="settings", handler=own, options=_OPTIONS),)
ADMIN_COMMANDS = (
    _private(
        parent="rushes-admin",
        name="settings",
        handler=of_guild,
        options=_ADMIN_OPTIONS,
        permission=Permission.ADMIN,
    ),
)
