"""/rushes preset save, use, show, list, delete: named options of a person or a guild."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from commands.context import Call, Command, rushes_command
from commands.handlers.arguments import incomplete_error, read_arguments
from commands.options import FLAGS, NAME, PRESET, SHARED
from commands.parsing.flags import parse_options, render_options
from commands.parsing.suggestions import closest
from commands.parsing.values import label, shorten
from commands.policy.legality import check_options
from commands.policy.presets_store import EVERYBODY, MAXIMUM_PRESETS, Preset
from commands.policy.settings import Rules, Scope
from commands.policy.settings_store import Change
from commands.refusal import Refusal
from commands.schema import Kind, Option, Permission, Value
from commands.specs.layers import FROM_PRESET, Layer
from commands.text import replies
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.option_texts import format_value as option_text
from commands.text.option_texts import option_name
from inference.domain.errors import NotFound, UserError

_ACTION = Option(
    name="action",
    kind=Kind.CHOICE,
    choices=("list", "show", "save", "use", "delete"),
    worded=True,
    default="list",
)
_OPTIONS = (_ACTION, NAME, FLAGS, SHARED)
_NAME = re.compile(r"[\w-]{1,32}")
_FLAGGED = re.compile(
    r"(?P<action>save|use)\s+(?P<name>\S+)\s*(?P<flags>.*)", re.IGNORECASE | re.DOTALL
)

NONE = "none"
"""Named instead of a preset, to use none any more."""

BEFORE = "before"
"""The preset that keeps a person's former defaults when they use another preset."""

_SHARED = re.compile(rf"(^|\s)--{SHARED.flag}(?=\s|$)")


async def preset(call: Call) -> Card:
    """Save, use, show, list or delete presets."""
    if (named := await _find_bare_name(call)) is not None:
        return _show(call, named)
    given = _read_arguments(call)
    action, name = given.get("action", "list"), str(given.get(NAME.name, "")).casefold()
    flags = str(given.get(FLAGS.name, ""))
    if action not in {"save", "use"} and (flags or (action == "list" and name)):
        raise UserError("command.too_many_words", words=shorten(flags or name))
    if action == "list":
        return await _list_presets(call)
    if not name:
        raise incomplete_error(NAME, after=str(action))
    owner = EVERYBODY if given.get(SHARED.name) else call.caller.id
    match action:
        case "save":
            return await _save(call, owner, name, flags)
        case "delete":
            return await _delete(call, owner, name)
        case "show":
            return _show(call, await find(call, name))
        case _:
            return await _use(call, name, flags)


async def _find_bare_name(call: Call) -> Preset | None:
    """Return the preset whose name was typed and nothing else, unless that is an action."""
    word = call.text.strip().casefold()
    if call.options or not word or word in _ACTION.choices:
        return None
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    return next((item for item in presets if item.name == word), None)


async def layers_of(call: Call, asked: Mapping[str, Value], rules: Rules) -> tuple[Layer, ...]:
    """Return the defaults for one job with its `--preset`, the weakest layer first.

    `--preset none` leaves out what the caller has set, be it by a preset or by hand.

    Raises:
        Refusal: `preset.mistyped`.
        NotFound: `preset.unknown`.
    """
    name = str(asked.get(PRESET.name, "")).casefold()
    if name == NONE:
        return tuple(layer for layer in rules.layers() if layer.name != Scope.USER)
    values = (await find(call, name)).options if name else {}
    return (*rules.layers(), Layer(name=FROM_PRESET, values=values))


def _read_arguments(call: Call) -> dict[str, Value]:
    """Return the arguments; the flags after `save NAME` and `use NAME` are kept as typed."""
    match = None if call.options else _FLAGGED.fullmatch(call.text.strip())
    if match is None:
        return read_arguments(call, _OPTIONS)
    flags = _SHARED.sub(" ", match["flags"])
    return {
        "action": match["action"].casefold(),
        NAME.name: match["name"],
        FLAGS.name: flags,
        SHARED.name: flags != match["flags"],
    }


async def _save(call: Call, owner: str, name: str, flags: str) -> Card:
    """Keep the flags, or without any what the caller has set for themselves."""
    _check_owner(call, owner)
    if not _NAME.fullmatch(name) or name == NONE:
        raise UserError("preset.bad_name", name=shorten(name))
    options = parse_options(flags, call.installation.options) or dict(
        (await call.rules()).layers()[-1].values
    )
    if not options:
        raise UserError("preset.empty")
    for option in options:
        _check_holdable(call, option)
    check_options(options, call.installation)
    kept = Preset(owner=owner, name=name, options=options)
    if not await call.policy.presets.save(call.channel.tenant, kept, call.caller.requester):
        raise UserError("preset.too_many", limit=MAXIMUM_PRESETS)
    return replies.note(
        "preset.saved", call.locale, name=name, flags=_format_options(call, options)
    )


async def _use(call: Call, name: str, flags: str) -> Card:
    """Make a preset the caller's own defaults, in place of what they had set.

    Flags after its name go before what it says. What was set before is kept as a preset.
    """
    try:
        added = parse_options(flags, call.installation.options)
    except UserError as error:
        if error.code != "command.too_many_words":
            raise
        raise UserError("preset.words", name=shorten(name), words=error.params["words"]) from error
    for option in added:
        _check_holdable(call, option)
    found = None if name == NONE else await find(call, name)
    options = {**({} if found is None else found.options), **added}
    check_options(options, call.installation)
    kept = await _keep_before(call, options)
    changes = [
        Change(scope=Scope.USER, subject=call.caller.id, setting=setting, value=options.get(option))
        for option, setting in call.policy.known.defaults.items()
    ]
    await call.policy.settings.change(call.channel.tenant, changes, call.caller.requester)
    key = "preset.used_none" if name == NONE and not options else "preset.used"
    used = replies.note(key, call.locale, name=name, flags=_format_options(call, options))
    if found is not None and found.missing:
        missing = text("preset.missing", call.locale, options=_flags(found))
        used = replace(used, lines=(*used.lines, (missing,)))
    back = text("preset.before" if kept else "preset.back", call.locale, name=BEFORE)
    return replace(used, lines=(*used.lines, (back,))) if kept or options else used


async def _keep_before(call: Call, options: Mapping[str, Value]) -> bool:
    """Keep what the caller had set, unless a preset has it; return whether it was kept.

    Raises:
        UserError: `preset.too_many`.
    """
    had = dict((await call.rules()).layers()[-1].values)
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    if not had or had == options or any(dict(item.options) == had for item in presets):
        return False
    before = Preset(owner=call.caller.id, name=BEFORE, options=had)
    if not await call.policy.presets.save(call.channel.tenant, before, call.caller.requester):
        raise UserError("preset.too_many", limit=MAXIMUM_PRESETS)
    return True


def _show(call: Call, item: Preset) -> Card:
    """Show one preset: whose it is, its options, and how it is used."""
    known = call.installation.options.by_name
    values = [
        text(
            "facts.option",
            call.locale,
            name=option_name(known[name], call.locale),
            value=option_text(known[name], value, call.locale),
        )
        for name, value in item.options.items()
        if name in known
    ]
    return Card(
        kind=CardKind.INFO,
        title=text("preset.about", call.locale, name=item.name),
        lines=(
            (_origin(call, item),),
            *((value,) for value in values),
            (text("preset.example", call.locale, name=item.name),),
        ),
    )


def _origin(call: Call, item: Preset) -> str:
    return text("origin.guild" if item.owner == EVERYBODY else "origin.user", call.locale)


async def _delete(call: Call, owner: str, name: str) -> Card:
    _check_owner(call, owner)
    deleted = await call.policy.presets.delete(
        call.channel.tenant, owner, name, call.caller.requester
    )
    if not deleted:
        raise NotFound("preset.unknown", name=shorten(name))
    return replies.note("preset.deleted", call.locale, name=name)


async def _list_presets(call: Call) -> Card:
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    if not presets:
        return replies.note("preset.none", call.locale)
    lines: list[Line] = [
        (
            text(
                "info.line",
                call.locale,
                name=item.name,
                value=f"{_format_options(call, item.options)} {_flags(item)}".strip(),
                origin=_origin(call, item),
            ),
        )
        for item in presets
    ]
    lines.append((text("preset.example", call.locale, name=presets[0].name),))
    return Card(kind=CardKind.INFO, title=text("preset.title", call.locale), lines=tuple(lines))


async def find(call: Call, name: str) -> Preset:
    """Return the caller's own preset of that name, else the guild's.

    Raises:
        Refusal: `preset.mistyped`.
        NotFound: `preset.unknown`.
    """
    presets = await call.policy.presets.visible(call.channel.tenant, call.caller.id)
    for item in presets:
        if item.name == name:
            return item
    guess = closest(name, [item.name for item in presets])
    if guess is None:
        raise NotFound("preset.unknown", name=shorten(name))
    raise Refusal("preset.mistyped", {PRESET.name: guess}, name=shorten(name), suggestion=guess)


def _format_options(call: Call, options: Mapping[str, Value]) -> str:
    return render_options(options, call.installation.options)


def _flags(item: Preset) -> str:
    """Return the options that are gone, as they were typed."""
    return " ".join(f"--{name}" for name in item.missing)


def _check_holdable(call: Call, option: str) -> None:
    if option not in call.policy.known.defaults:
        by_name = call.installation.options.by_name
        raise UserError("preset.cannot_hold", option=label(by_name[option]))


def _check_owner(call: Call, owner: str) -> None:
    if owner == EVERYBODY and not call.caller.may(Permission.ADMIN):
        raise UserError("preset.not_yours")


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    return (rushes_command(name="preset", handler=preset, options=_OPTIONS),)
