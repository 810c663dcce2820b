"""Converts options of a command to input blocks of a modal, and submitted state to values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.slack.inbound.command_text import plain
from bot.slack.outbound.blocks import plain_text
from commands.context import Command
from commands.installation import Installation
from commands.option_set import limit_options
from commands.options import FRAME_COUNT, IMAGE, MODEL
from commands.parsing.values import accept, tidy
from commands.schema import Group, Kind, Option, Value
from commands.text.messages import error_text, text
from commands.text.option_texts import field_label, format_value, length_text, option_help
from inference.domain.capabilities import Lengths
from inference.domain.errors import UserError
from inference.domain.untrusted_text import cut

Block = dict[str, Any]

MAX_TEXT = 3000
"""Characters of a text field."""

MAX_FIELDS = 90
"""Of one form: Slack takes 100 blocks in all."""

MAX_CHOICES = 100
"""Of one field; what has no room is typed as a flag."""

MAX_CHOICE, MAX_VALUE = 75, 150
"""Characters of a choice as it is shown, and as it is sent."""

MAX_HINT = 2000
"""Characters below a field."""

IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif", "heic", "heif", "avif"]

YES, NO = "yes", "no"


def draw(
    command: Command,
    installation: Installation,
    locale: str,
    *,
    everything: bool,
    with_image: bool,
    model: str | None = None,
) -> list[Block]:
    """Draw a field for every option that makes sense here.

    Args:
        command: Whose options.
        installation: What is installed: nothing is offered that no model can do.
        locale: Of the reader.
        everything: Also the advanced ones.
        with_image: Whether the form asks for the picture.
        model: The model that was chosen in the form: only what it can do is offered.
    """
    shown = installation.find_options(model).shown
    offered = [
        replace(shown[option.name], required=option.required)
        for option in command.options
        if option.name in shown
        and option.name not in command.fixed
        and (with_image or option.name != IMAGE.name)
        and _is_offered(option, installation)
    ]
    basic = [option for option in offered if everything or _is_basic(option)]
    return [
        _field(option, installation, model, locale) for option in limit_options(MAX_FIELDS, basic)
    ]


def values(view: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values of a submitted form by field, without empty fields."""
    found: dict[str, Value] = {}
    for name, actions in view["state"]["values"].items():
        for state in actions.values():
            found_value = value(state)
            if found_value is not None:
                found[name] = found_value
    return found


def check(command: Command, given: Mapping[str, Value], locale: str) -> dict[str, str]:
    """Return the error of each field that is wrong by itself, by its name."""
    wrong: dict[str, str] = {}
    for option in command.options:
        if option.name not in given:
            continue
        try:
            accept(option, given[option.name])
        except UserError as error:
            wrong[option.name] = error_text(error, locale)
    return wrong


def field_of(view: Mapping[str, Any], option: str) -> str | None:
    """Return the field at which an error is shown: the option's own, else the first."""
    inputs = (block for block in view.get("blocks") or () if block.get("type") == "input")
    names = [name for block in inputs if (name := block.get("block_id"))]
    return option if option in names else next(iter(names), None)


def _is_offered(option: Option, installation: Installation) -> bool:
    if option.name == MODEL.name:
        return len(installation.models) > 1
    return installation.offers(option)


def _is_basic(option: Option) -> bool:
    """Return whether the short form has it; which other fields there are depends on the model."""
    return option.group is Group.BASIC or option.name == MODEL.name


def _field(option: Option, installation: Installation, model: str | None, locale: str) -> Block:
    element = _element(option, installation, model, locale)
    field: Block = {
        "type": "input",
        "block_id": option.name,
        "optional": not option.required,
        "label": plain_text(field_label(option, locale)),
        "hint": plain_text(cut(option_help(option, locale), MAX_HINT)),
        "element": {**element, "action_id": option.name},
    }
    # Slack tells at once which model was chosen: the form is drawn again with what it can do.
    return field if option.name != MODEL.name else {**field, "dispatch_action": True}


def _element(option: Option, installation: Installation, model: str | None, locale: str) -> Block:
    match option.kind:
        case Kind.IMAGE:
            return {"type": "file_input", "filetypes": IMAGE_TYPES, "max_files": 1}
        case Kind.FLAG:
            words = {YES: text("value.yes", locale), NO: text("value.no", locale)}
            return _select(words, locale)
        case Kind.MODEL:
            return _select({model.name: model.title for model in installation.offered}, locale)
        case _ if choices := _choices(option, installation, model, locale):
            return _select(choices, locale)
        case Kind.TEXT | Kind.CHOICE:
            limit = min(option.max_length or MAX_TEXT, MAX_TEXT)
            return {"type": "plain_text_input", "multiline": True, "max_length": limit}
        case _:
            return _number(option)


def _choices(
    option: Option, installation: Installation, model: str | None, locale: str
) -> dict[str, str]:
    if option.name != FRAME_COUNT.name or not option.choices:
        values = [choice for choice in option.choices if len(str(choice)) <= MAX_VALUE]
        return {str(value): format_value(option, value, locale) for value in values[:MAX_CHOICES]}
    models = [item for item in installation.offered if model in {None, item.name}]
    return {
        str(count): length_text(int(count), models, locale)
        for count in Lengths(tuple(map(int, option.choices))).choices(MAX_CHOICES)
    }


def _select(choices: Mapping[str, str], locale: str) -> Block:
    return {
        "type": "static_select",
        "placeholder": plain_text(text("slack.form.as_set", locale)),
        "options": [
            {"text": plain_text(cut(shown, MAX_CHOICE)), "value": value}
            for value, shown in choices.items()
        ],
    }


def _number(option: Option) -> Block:
    element: Block = {"type": "number_input", "is_decimal_allowed": option.kind is Kind.NUMBER}
    if option.range is not None:
        element["min_value"] = str(tidy(option.range.lowest))
        element["max_value"] = str(tidy(option.range.highest))
    return element


def value(state: Mapping[str, Any]) -> Value | None:
    """Return the value of one field, or None if it is empty."""
    match state.get("type"):
        case "static_select":
            chosen: str | None = (state.get("selected_option") or {}).get("value")
            return chosen == YES if chosen in {YES, NO} else chosen
        case "conversations_select":
            return state.get("selected_conversation")
        case "file_input":
            files = state.get("files") or []
            return files[0]["id"] if files else None
        case _:
            return plain(str(state.get("value") or "").strip()) or None
