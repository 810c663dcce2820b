"""Cards of settings: the list in groups, and the explanation of one setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from commands.context import Call
from commands.options import CFG, FRAME_COUNT, STEPS
from commands.parsing.flags import render_options
from commands.parsing.values import tidy
from commands.policy.settings import UNLIMITED, NameKind, Rules, Scope, Setting, Topic, ValueShape
from commands.policy.settings_values import read_setting
from commands.schema import Kind, Value
from commands.specs.layers import BUILT_IN
from commands.specs.resolve import resolve
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.option_texts import describe_legal_values, option_help
from inference.domain.errors import UserError
from inference.domain.untrusted_text import cut

VALUE_LENGTH = 80
"""Characters of a value."""

LISTED_VALUE_LENGTH = 20
"""Characters of a value in the list of all settings."""

LIST_LENGTH = 3700
"""Characters of the list: Discord takes 4000 in a message."""

_EXAMPLES = {
    "timezone": "Asia/Seoul",
    "watermark.suffix": "film team",
    "quota.guild": "10h",
    "quota.user": "1h",
    "quota.people": "ann=2h",
    "quota.roles": f"editors=2h, staff={UNLIMITED}",
}
_NAMES = {NameKind.ROLES: "editors", NameKind.CHANNELS: "film", NameKind.PEOPLE: "ann"}
_TEXT = "blurry"
_SHOWN, _SHOWN_VALUE = "default.aspect", "9:16"


def list_settings(call: Call, rules: Rules, scope: Scope, command: str) -> Card:
    """List in groups what can be set in a scope, each with one line, and what is set here.

    Args:
        call: Who asks.
        rules: What holds here.
        scope: Whose settings are listed.
        command: With which they are set, as people type it.
    """
    title = text(f"setting.title.{scope}", call.locale)
    end = text(
        "setting.more",
        call.locale,
        explained=f"{command} {_SHOWN}",
        example=f"{command} set {_SHOWN} {_SHOWN_VALUE}",
    )
    lines = _list_lines(call, rules, scope, explained=True)
    if sum(len(line) + 1 for line in lines) + len(title) + len(end) > LIST_LENGTH:
        lines = _list_lines(call, rules, scope, explained=False)
    return Card(kind=CardKind.INFO, title=title, lines=tuple((line,) for line in (*lines, end)))


def _list_lines(call: Call, rules: Rules, scope: Scope, *, explained: bool) -> list[str]:
    """Return the lines of all groups; not explained, what is unset shares a line."""
    lines: list[str] = []
    for topic in Topic:
        settings = [
            setting
            for setting in call.policy.known.by_key.values()
            if setting.topic is topic and _concerns(call, setting, rules, scope)
        ]
        unset = [each.key for each in settings if rules.find_with_origin(each)[1] == BUILT_IN]
        found = [
            _list_line(call, setting, rules, explained=explained)
            for setting in settings
            if explained or setting.key not in unset
        ]
        if unset and not explained:
            found.append(", ".join(unset))
        if found:
            lines += [text(f"setting.topic.{topic}", call.locale), *found]
    return lines


def _concerns(call: Call, setting: Setting, rules: Rules, scope: Scope) -> bool:
    """Whether the list of a scope shows a setting: it can be set there, or is set already."""
    useful = call.installation.offers(setting.sets or setting.option)
    return (useful and scope in setting.scopes) or rules.find_with_origin(setting)[1] != BUILT_IN


def _list_line(call: Call, setting: Setting, rules: Rules, *, explained: bool) -> str:
    value, origin = rules.find_with_origin(setting)
    about = _about(setting, call.locale)
    if origin == BUILT_IN:
        return text("help.line", call.locale, name=setting.key, help=about)
    name = _line(call, setting, value, origin, length=LISTED_VALUE_LENGTH)
    return text("help.line", call.locale, name=name, help=about) if explained else name


def explain_setting(call: Call, setting: Setting, rules: Rules, command: str) -> Card:
    """Explain one setting: what it does, its values, what holds now and why, and an example."""
    locale = call.locale
    value, origin = find_value_in_force(call, setting, rules)
    lines: list[Line] = [
        (_about(setting, locale),),
        (text("setting.values", locale, values=_legal(setting, call)),),
        (_now(call, value, origin),),
    ]
    if Scope.USER not in setting.scopes:
        command = "/rushes-admin settings"
    if found := make_example(call, setting, value):
        typed = f"{command} set {setting.key} {found}"
        lines.append((text("setting.example", locale, example=typed),))
        if setting in call.policy.known.defaults.values() and setting.sets is not None:
            meant = cast("Value", read_setting(setting, found, call.installation))
            flags = render_options({setting.sets.name: meant}, call.installation.options)
            lines.append((text("setting.for_one_job", locale, flags=flags),))
    return Card(kind=CardKind.INFO, title=setting.key, lines=tuple(lines))


def find_value_in_force(call: Call, setting: Setting, rules: Rules) -> tuple[Any, str]:
    """Return the value in force of a setting, and the layer it comes from."""
    value, origin = rules.find_with_origin(setting)
    if origin != BUILT_IN or setting not in call.policy.known.defaults.values():
        return value, origin
    name = setting.key.partition(".")[2]
    try:
        resolved = resolve("-", rules.layers(), call.installation)
    except UserError:  # such as of a model that needs an image
        return value, origin
    return resolved.spec.value(name), resolved.origins.get(name, origin)


def make_example(call: Call, setting: Setting, now: Any) -> str:
    """Return a valid value as it is typed, other than the current one if possible."""
    legal: list[str] = []
    for typed in _guesses(call, setting):
        try:
            value = read_setting(setting, typed, call.installation)
        except UserError:
            continue
        if value != now:
            return typed
        legal.append(typed)
    return next(iter(legal), "")


def _guesses(call: Call, setting: Setting) -> Iterator[str]:
    option = setting.option
    if setting.key in _EXAMPLES:
        yield _EXAMPLES[setting.key]
    if setting.naming is not None:
        yield _NAMES[setting.naming]
    yield from (str(choice) for choice in option.choices)
    match option.kind:
        case Kind.FLAG:
            yield from ("yes", "no")
        case Kind.MODEL:
            yield from (model.name for model in call.installation.offered)
        case Kind.TEXT:
            yield _TEXT
        case Kind.INTEGER | Kind.NUMBER:
            yield from _numbers(call, setting)


def _numbers(call: Call, setting: Setting) -> Iterator[str]:
    name = setting.sets.name if setting.sets else setting.key
    for model in call.installation.offered:
        ranges = {STEPS.name: model.steps, CFG.name: model.cfg}
        if name in ranges:
            yield from (str(tidy(round(ranges[name].default * part))) for part in (0.5, 1))
        if name == FRAME_COUNT.name:
            yield from (str(length) for length in sorted(model.lengths, reverse=True))
    if (limits := setting.option.range) is not None:
        yield from (str(tidy(limits.lowest + 1)), str(tidy(limits.highest)))


def _about(setting: Setting, locale: str) -> str:
    option = setting.sets
    if option is not None and setting.help_key == option.help_key:
        return option_help(option, locale)
    return text(setting.help_key, locale)


def _line(call: Call, setting: Setting, value: Any, origin: str, *, length: int) -> str:
    return text(
        "info.line",
        call.locale,
        name=setting.key,
        value=format_value(value, call.locale, length=length),
        origin=text(f"origin.{origin}", call.locale),
    )


def _now(call: Call, value: Any, origin: str) -> str:
    """Return the line with the current value and the layer it comes from, if it is set."""
    if value is None or value == "":
        return text("setting.now_unset", call.locale)
    source = text(f"origin.{origin}", call.locale)
    return text("setting.now", call.locale, value=format_value(value, call.locale), origin=source)


def _legal(setting: Setting, call: Call) -> str:
    """Describe the legal values of a setting."""
    option, locale = setting.option, call.locale
    if setting.sets is not None:
        option = call.installation.options.shown.get(setting.sets.name, option)
    if setting.shape is not ValueShape.VALUE:
        return text(f"setting.shape.{setting.shape}", locale, example=_EXAMPLES.get(setting.key))
    if setting.in_gpu_seconds:
        return text("setting.shape.gpu_time", locale)
    if option.kind is Kind.FLAG:
        return text("setting.shape.switch", locale)
    values = describe_legal_values(option, call.installation.offered, locale)
    if values is not None:
        return values
    return text("setting.shape.text", locale, limit=option.max_length)


def format_value(value: Any, locale: str, *, length: int = VALUE_LENGTH) -> str:
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
        case float():
            shown = str(tidy(value))
        case _:
            shown = str(value)
    return cut(shown, length)
