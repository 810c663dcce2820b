"""Options of a command as fields of a form, and what was filled in as their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.slack.inbound.command_text import plain
from bot.slack.outbound.blocks import plain_text
from commands.command import Command
from commands.installation import Installation
from commands.options import FRAME_COUNT, IMAGE, MODEL, NEGATIVE, REFINE, RESOLUTION
from commands.parsing.values import accept
from commands.schema import Group, Kind, Option, Value
from commands.text.messages import error_text, text
from commands.text.summary import written
from inference.domain.errors import UserError
from inference.domain.spec import FILE_FPS

Block = dict[str, Any]

MAX_TEXT = 3000
"""Characters of a text field."""

IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif"]

YES, NO = "yes", "no"


def draw(
    command: Command, installation: Installation, locale: str, *, everything: bool, with_image: bool
) -> list[Block]:
    """Draw a field for every option that makes sense here.

    Args:
        command: Whose options.
        installation: What is installed: nothing is offered that no model can do.
        locale: Of the reader.
        everything: Also the advanced ones.
        with_image: Whether the form asks for the picture.
    """
    return [
        _field(option, installation, locale)
        for option in command.options
        if option.name not in command.fixed
        and (everything or option.group is Group.BASIC)
        and (with_image or option.name != IMAGE.name)
        and _offered(option, installation)
    ]


def values(view: Mapping[str, Any]) -> dict[str, Value]:
    """Return what was filled in, by the name of the field; empty fields are left out."""
    found: dict[str, Value] = {}
    for name, actions in view["state"]["values"].items():
        for state in actions.values():
            value = _value(state)
            if value is not None:
                found[name] = value
    return found


def check(command: Command, given: Mapping[str, Value], locale: str) -> dict[str, str]:
    """Return what is wrong with each field by itself, by its name."""
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


def _offered(option: Option, installation: Installation) -> bool:
    match option.name:
        case REFINE.name:
            return installation.assistant
        case MODEL.name:
            return len(installation.models) > 1
        case NEGATIVE.name:
            return any(model.negative for model in installation.models)
        case _:
            return True


def _field(option: Option, installation: Installation, locale: str) -> Block:
    return {
        "type": "input",
        "block_id": option.name,
        "optional": not option.required,
        "label": plain_text(text(f"label.{option.name}", locale)),
        "hint": plain_text(text(option.help_key, locale)),
        "element": {**_element(option, installation, locale), "action_id": option.name},
    }


def _element(option: Option, installation: Installation, locale: str) -> Block:
    match option.kind:
        case Kind.IMAGE:
            return {"type": "file_input", "filetypes": IMAGE_TYPES, "max_files": 1}
        case Kind.TEXT:
            limit = min(option.max_length or MAX_TEXT, MAX_TEXT)
            return {"type": "plain_text_input", "multiline": True, "max_length": limit}
        case Kind.FLAG:
            words = {YES: text("value.yes", locale), NO: text("value.no", locale)}
            return _select(words, locale)
        case Kind.MODEL:
            return _select({model.name: model.title for model in installation.models}, locale)
        case _ if option.choices:
            return _select(_choices(option, installation, locale), locale)
        case _:
            return _number(option)


def _choices(option: Option, installation: Installation, locale: str) -> dict[str, str]:
    choices = {str(choice): written(option, choice, locale) for choice in option.choices}
    if option.name == RESOLUTION.name:
        able = {str(size) for model in installation.models for size in model.resolutions}
        return {choice: shown for choice, shown in choices.items() if choice in able}
    if option.name == FRAME_COUNT.name:
        able = {str(count) for model in installation.models for count in model.frames}
        return {choice: _length(int(choice), locale) for choice in choices if choice in able}
    return choices


def _length(frames: int, locale: str) -> str:
    if frames == 1:
        return text("facts.image", locale)
    return text("facts.length", locale, count=frames, seconds=f"{frames / FILE_FPS:.1f}")


def _select(choices: Mapping[str, str], locale: str) -> Block:
    return {
        "type": "static_select",
        "placeholder": plain_text(text("slack.form.as_set", locale)),
        "options": [
            {"text": plain_text(shown), "value": value} for value, shown in choices.items()
        ],
    }


def _number(option: Option) -> Block:
    element: Block = {"type": "number_input", "is_decimal_allowed": option.kind is Kind.NUMBER}
    if option.range is not None:
        element["min_value"] = str(option.range.lowest)
        element["max_value"] = str(option.range.highest)
    return element


def _value(state: Mapping[str, Any]) -> Value | None:
    """Return what one field holds, or None if nothing."""
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
