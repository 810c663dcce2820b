"""How a person fills in a modal, and what their client does not let them do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.slack.blocks import SELECTS
from tests.fakes.slack.emoji import as_codes
from tests.fakes.slack.model import File, Json
from tests.fakes.slack.records import Refused

Attach = Callable[[Any], File]
"""Puts a file of the person's machine into Slack."""


def fill_in(content: Json, answers: Mapping[str, Any], attach: Attach) -> Json:
    """Return the `state.values` of a modal.

    Args:
        content: The view.
        answers: What to enter, by the label, the block id or the action id of a field.
        attach: For fields that take files.

    Raises:
        Refused: A field is missing, unknown, or holds what it does not take.
    """
    left, values = dict(answers), {}
    for block in content["blocks"]:
        element = block.get("element")
        if block["type"] == "input":
            names = (block["label"]["text"], block["block_id"], element.get("action_id"))
        elif block["type"] == "section" and "accessory" in block:
            element = block["accessory"]
            names = ("", block["block_id"], element.get("action_id"))
        else:
            continue
        given = next((left.pop(name) for name in names if name in left), None)
        value = _value(element, given, attach)
        if block["type"] == "input" and not block.get("optional") and _empty(value):
            raise Refused(f"{names[0]} has to be filled in")
        values[block["block_id"]] = {element.get("action_id", ""): value}
    if left:
        raise Refused(f"the modal has no fields {sorted(left)}")
    return values


def _value(element: Json, given: Any, attach: Attach) -> Json:
    kind = element["type"]
    if kind in {"static_select", "radio_buttons", "overflow"}:
        chosen = _option(element, given) if given is not None else element.get("initial_option")
        return {"type": kind, "selected_option": chosen}
    if kind in {"checkboxes", "multi_static_select"}:
        if given is None:
            chosen_ones = element.get("initial_options", [])
        else:
            chosen_ones = [_option(element, one) for one in given]
        return {"type": kind, "selected_options": chosen_ones}
    if kind == "file_input":
        files = [] if given is None else given if isinstance(given, list) else [given]
        if len(files) > element.get("max_files", 10):
            raise Refused(f"{len(files)} files are too many")
        attached = [attach(one) for one in files]
        for file in attached:
            if file.name.rpartition(".")[2] not in element.get("filetypes", [file.name[-3:]]):
                raise Refused(f"{file.name} is not taken")
        return {"type": kind, "files": attached}
    if kind in SELECTS:
        return {"type": kind, f"selected_{kind.removesuffix('s_select')}": given}
    return {"type": kind, "value": _typed(element, given)}


def _typed(element: Json, given: Any) -> str | None:
    text: str | None = element.get("initial_value") if given is None else str(given)
    if not text:
        return None
    if element["type"] == "number_input":
        low, high = float(element.get("min_value", text)), float(element.get("max_value", text))
        if not low <= float(text) <= high:
            raise Refused(f"{text} is not between {low} and {high}")
    if len(text) > element.get("max_length", 3000):
        raise Refused(f"{len(text)} characters are too many")
    return as_codes(text)


def _option(element: Json, given: Any) -> Json:
    groups = element.get("option_groups", [{"options": element.get("options", [])}])
    for option in (option for group in groups for option in group["options"]):
        if given in {option["value"], option["text"]["text"]}:
            return dict(option)
    raise Refused(f"{given!r} is none of the choices")


def _empty(value: Json) -> bool:
    return not any(content for name, content in value.items() if name != "type")
