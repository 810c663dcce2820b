"""/rushes preset save, use, list, delete: options under a name, for oneself or for everybody."""

from __future__ import annotations

import re

from commands.command import Command, Visibility
from commands.context import Call
from commands.handlers.arguments import arguments
from commands.options import BY_NAME, FLAGS, NAME, SHARED
from commands.parsing.flags import parse_options, render_options
from commands.parsing.suggestions import closest
from commands.parsing.values import label, shown
from commands.policy.legality import check_options
from commands.policy.presets_store import EVERYBODY, MAXIMUM_PRESETS, Preset
from commands.policy.settings import DEFAULTS, Scope
from commands.policy.settings_store import Change
from commands.schema import Kind, Option, Permission, Value
from commands.text import cards
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from inference.domain.errors import NotFound, UserError

_ACTION = Option(
    name="action",
    kind=Kind.CHOICE,
    choices=("list", "save", "use", "delete"),
    worded=True,
    default="list",
)
_OPTIONS = (_ACTION, NAME, FLAGS, SHARED)
_NAME = re.compile(r"[\w-]{1,32}")
_SAVE = re.compile(r"save\s+(?P<name>\S+)\s*(?P<flags>.*)", re.IGNORECASE | re.DOTALL)
_SHARED = re.compile(rf"(^|\s)--{SHARED.flag}(?=\s|$)")


async def preset(call: Call) -> Card:
    """Keep, take, list or delete presets."""
    given = _given(call)
    action, name = given.get("action", "list"), str(given.get(NAME.name, "")).casefold()
    if action == "list":
        return await _listed(call)
    if not name:
        raise UserError("value.missing", option=NAME.name)
    owner = EVERYBODY if given.get(SHARED.name) else call.caller.id
    match action:
        case "save":
            return await _save(call, owner, name, str(given.get(FLAGS.name, "")))
        case "delete":
            return await _delete(call, owner, name)
        case _:
            return await _use(call, name)


def _given(call: Call) -> dict[str, Value]:
    """Return the arguments; the flags after `save NAME` are kept as they were typed."""
    match = None if call.options else _SAVE.fullmatch(call.text.strip())
    if match is None:
        return arguments(call, _OPTIONS)
    flags = _SHARED.sub(" ", match["flags"])
    return {
        "action": "save",
        NAME.name: match["name"],
        FLAGS.name: flags,
        SHARED.name: flags != match["flags"],
    }


async def _save(call: Call, owner: str, name: str, flags: str) -> Card:
    """Keep the flags, or without any what the caller has set for themselves."""
    _check_owner(call, owner)
    if not _NAME.fullmatch(name):
        raise UserError("preset.bad_name", name=shown(name))
    options = parse_options(flags) or dict((await call.rules()).layers()[-1].values)
    if not options:
        raise UserError("preset.empty")
    for option in options:
        if option not in DEFAULTS:
            raise UserError("preset.cannot_hold", option=label(BY_NAME[option]))
    check_options(options, call.installation)
    kept = Preset(owner=owner, name=name, options=options)
    if not await call.policy.presets.save(call.channel.tenant, kept, call.caller.requester):
        raise UserError("preset.too_many", limit=MAXIMUM_PRESETS)
    return cards.note("preset.saved", call.locale, name=name, flags=render_options(options))


async def _use(call: Call, name: str) -> Card:
    """Make a preset the caller's own defaults, in place of what they had set."""
    found = await _find(call, name)
    check_options(found.options, call.installation)
    changes = [
        Change(
            scope=Scope.USER,
            subject=call.caller.id,
            setting=setting,
            value=found.options.get(option),
        )
        for option, setting in DEFAULTS.items()
    ]
    await call.policy.settings.change(call.channel.tenant, changes, call.caller.requester)
    return cards.note("preset.used", call.locale, name=name, flags=render_options(found.options))


async def _delete(call: Call, owner: str, name: str) -> Card:
    _check_owner(call, owner)
    deleted = await call.policy.presets.delete(
        call.channel.tenant, owner, name, call.caller.requester
    )
    if not deleted:
        raise NotFound("preset.unknown", name=shown(name))
    return cards.note("preset.deleted", call.locale, name=name)


async def _listed(call: Call) -> Card:
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    if not presets:
        return cards.note("preset.none", call.locale)
    lines: list[Line] = [
        (
            text(
                "info.line",
                call.locale,
                name=item.name,
                value=render_options(item.options),
                origin=text(
                    "origin.guild" if item.owner == EVERYBODY else "origin.user", call.locale
                ),
            ),
        )
        for item in presets
    ]
    return Card(kind=CardKind.INFO, title=text("preset.title", call.locale), lines=tuple(lines))


async def _find(call: Call, name: str) -> Preset:
    """Return the caller's own preset of that name, else the guild's."""
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    for item in presets:
        if item.name == name:
            return item
    guess = closest(name, [item.name for item in presets])
    if guess is None:
        raise NotFound("preset.unknown", name=shown(name))
    raise NotFound("preset.mistyped", name=shown(name), suggestion=guess)


def _check_owner(call: Call, owner: str) -> None:
    if owner == EVERYBODY and not call.caller.may(Permission.ADMIN):
        raise UserError("preset.not_yours")


COMMANDS = (
    Command(
        parent="rushes",
        name="preset",
        handler=preset,
        options=_OPTIONS,
        visibility=Visibility.CALLER,
    ),
)
