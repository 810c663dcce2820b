"""/rushes help: the manual, written from the schema."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import replace

from commands.context import Call, Command, admin_command, rushes_command
from commands.installation import Installation
from commands.option_set import find_default
from commands.options import MODEL, TOPIC
from commands.parsing.suggestions import closest
from commands.parsing.values import shorten, tidy
from commands.schema import Kind, Option
from commands.specs.layers import Layer
from commands.specs.resolve import Resolved, resolve
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.option_texts import describe_legal_values, option_help
from commands.text.summary import join_facts
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.job import TYPED

_MODEL = re.compile(r"(^|\s)--model[\s=]+(?P<name>\S+)", re.IGNORECASE)


_ADMIN = "rushes-admin"


async def explain(call: Call) -> Card:
    """List the caller's commands, or explain one with all its options.

    With `--model NAME`, only what that model can do.
    """
    allowed = [command for command in call.commands if call.caller.may(command.permission)]
    topic = str(call.options.get(TOPIC.name, call.text)).strip()
    named = _MODEL.search(topic)
    model = None if named is None else call.installation.model(named["name"])
    wanted = _MODEL.sub(" ", topic).strip() or ("" if model is None else "generate")
    if wanted.lstrip("/").casefold() == _ADMIN:
        return _overview([command for command in allowed if command.parent == _ADMIN], call)
    if wanted:
        return _manual(_find(wanted, allowed), call, model, await _usual(call, model))
    return _overview(allowed, call)


async def explain_admin(call: Call) -> Card:
    """List the admin's commands, or explain one of them."""
    topic = str(call.options.get(TOPIC.name, call.text)).strip()
    words = topic.removeprefix("/").removeprefix(_ADMIN).strip()
    typed = f"{_ADMIN} {words}".strip()
    return await explain(replace(call, text=typed, options={}))


def _overview(commands: Iterable[Command], call: Call) -> Card:
    lines = tuple(
        _line(item.typed, item.help(call.locale), call)
        for item in commands
        if call.installation.assistant or not item.needs_assistant
    )
    return Card(
        kind=CardKind.INFO,
        title=text("help.title", call.locale),
        lines=(*lines, (text("help.more", call.locale),)),
    )


async def _usual(call: Call, model: Capabilities | None) -> Resolved | None:
    """Resolve the defaults of the caller and the guild, as a command without options does."""
    chosen = {} if model is None else {MODEL.name: model.name}
    layers = (*(await call.rules()).layers(), Layer(name=TYPED, values=chosen, asked=True))
    try:
        return resolve("", layers, call.installation)
    except UserError:  # such as of a model that needs an image
        return None


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
        raise UserError("command.unknown", command=shorten(topic))
    raise UserError("command.mistyped", command=shorten(topic), suggestion=by_name[guess].typed)


def _manual(
    command: Command, call: Call, model: Capabilities | None, taken: Resolved | None
) -> Card:
    installation, locale = call.installation, call.locale
    lines = manual(
        command.options, installation, locale, model=model, fixed=command.fixed, taken=taken
    )
    return Card(
        kind=CardKind.INFO,
        title=command.typed,
        lines=(
            (command.help(locale),),
            *(_line(name, explanation, call) for name, explanation in lines),
        ),
    )


def manual(
    options: Iterable[Option],
    installation: Installation,
    locale: str,
    *,
    model: Capabilities | None = None,
    fixed: Container[str] = (),
    taken: Resolved | None = None,
) -> list[tuple[str, str]]:
    """Return how each option is typed, and what it does.

    Args:
        options: Of a command.
        installation: What is installed.
        locale: Of the reader.
        model: Only what this model can do; otherwise what any model can.
        fixed: Names of options that the command sets itself.
        taken: What is made when nothing is set; the default model's values otherwise.
    """
    here = installation.options.by_name
    shown = installation.find_options(None if model is None else model.name).shown
    found = [shown.get(option.name) if option.name in here else option for option in options]
    return [
        (usage(option), join_facts([option_help(option, locale), *limits], locale))
        for option in found
        if option is not None and option.name not in fixed and installation.offers(option)
        for limits in [_limits(option, installation, model, taken, locale)]
    ]


def _line(name: str, explanation: str, call: Call) -> Line:
    return (text("help.line", call.locale, name=name, help=explanation),)


def usage(option: Option) -> str:
    """Return how an option is typed: `--camera`, `--refine/--no-refine`, `<job>`."""
    if option.flag is None:
        return f"<{option.name}>"
    if option.kind is Kind.FLAG:
        return f"--{option.flag}/--no-{option.flag}"
    return f"--{option.flag}"


def _limits(
    option: Option,
    installation: Installation,
    model: Capabilities | None,
    taken: Resolved | None,
    locale: str,
) -> list[str]:
    """Describe the legal values of an option, and its default."""
    values = describe_legal_values(option, installation.offered, locale)
    limits = [] if values is None else [values]
    at_hand = model or (installation.default if taken is None else taken.capabilities)
    default = find_default(option, at_hand)
    if option.kind is Kind.MODEL:
        default = at_hand.name
    elif taken is not None and default is not None:
        value = taken.spec.value(option.name)
        default = taken.idle.get(option.name, default) if value is None else value
    if default is not None and option.kind is not Kind.FLAG:
        shown = tidy(default) if isinstance(default, float) else default
        limits.append(text("help.default", locale, value=shown))
    return limits


def commands() -> tuple[Command, ...]:
    """Return the command of this module."""
    return (
        rushes_command(name="help", handler=explain, options=(TOPIC,)),
        admin_command(name="help", handler=explain_admin, options=(TOPIC,)),
    )
