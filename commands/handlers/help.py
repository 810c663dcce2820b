"""/rushes help: the manual, written from the schema."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from commands.command import Command, Visibility
from commands.context import Call
from commands.options import TOPIC
from commands.parsing.suggestions import closest
from commands.parsing.values import shown
from commands.schema import Kind, Option
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.summary import dotted
from inference.domain.errors import UserError


def with_help(commands: Iterable[Command]) -> tuple[Command, ...]:
    """Return the commands together with the one that explains them, and itself."""
    explained = list(commands)
    explained.append(
        Command(
            parent="rushes",
            name="help",
            handler=partial(explain, explained),
            options=(TOPIC,),
            visibility=Visibility.CALLER,
        )
    )
    return tuple(explained)


async def explain(commands: Iterable[Command], call: Call) -> Card:
    """List what the caller may do, or explain one command with all its options."""
    allowed = [command for command in commands if call.caller.may(command.permission)]
    topic = str(call.options.get(TOPIC.name, call.text)).strip()
    if topic:
        return _manual(_find(topic, allowed), call)
    lines = tuple(_line(item.typed, text(item.help_key, call.locale), call) for item in allowed)
    return Card(
        kind=CardKind.INFO,
        title=text("help.title", call.locale),
        lines=(*lines, (text("help.more", call.locale),)),
    )


def _find(topic: str, commands: Iterable[Command]) -> Command:
    """Return the command named with or without slash and the word in front of it."""
    wanted = " ".join(topic.casefold().lstrip("/").split())
    by_name: dict[str, Command] = {}
    for command in commands:
        by_name.setdefault(command.name, command)
        by_name[command.typed.lstrip("/")] = command
    if wanted in by_name:
        return by_name[wanted]
    guess = closest(wanted, by_name)
    if guess is None:
        raise UserError("command.unknown", command=shown(topic))
    raise UserError("command.mistyped", command=shown(topic), suggestion=by_name[guess].typed)


def _manual(command: Command, call: Call) -> Card:
    locale = call.locale
    lines = tuple(
        _line(
            usage(option),
            dotted([text(option.help_key, locale), *_limits(option, call)], locale),
            call,
        )
        for option in command.options
        if option.name not in command.fixed and call.installation.offers(option)
    )
    return Card(
        kind=CardKind.INFO,
        title=command.typed,
        lines=((text(command.help_key, locale),), *lines),
    )


def _line(name: str, explanation: str, call: Call) -> Line:
    return (text("help.line", call.locale, name=name, help=explanation),)


def usage(option: Option) -> str:
    """Return how an option is typed: `--camera`, `--refine/--no-refine`, `<job>`."""
    if option.flag is None:
        return f"<{option.name}>"
    if option.kind is Kind.FLAG:
        return f"--{option.flag}/--no-{option.flag}"
    return f"--{option.flag}"


def _limits(option: Option, call: Call) -> list[str]:
    """Say which values are legal, and which is taken when none is given."""
    locale = call.locale
    limits: list[str] = []
    choices = [str(choice) for choice in option.choices]
    if option.kind is Kind.MODEL:
        choices = [model.name for model in call.installation.models]
    if choices:
        limits.append(text("help.choices", locale, choices=choices))
    if option.range is not None:
        low, high = option.range.lowest, option.range.highest
        limits.append(text("help.range", locale, lowest=low, highest=high))
    if option.default is not None and option.kind is not Kind.FLAG:
        limits.append(text("help.default", locale, value=option.default))
    return limits
