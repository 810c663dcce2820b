"""What Block Kit allows. Each check returns what is wrong, one sentence each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.fakes.slack.model import Json, elements, everything, walk

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_CHARACTERS = 13_000
TEXT_CHARACTERS = 40_000
VIEW_BYTES = 250_000
TEXT_BLOCK = 3000
ID_CHARACTERS = 255
BUTTON_VALUE = 2000
MOST_OPTIONS = {
    "static_select": 100,
    "multi_static_select": 100,
    "checkboxes": 10,
    "radio_buttons": 10,
    "overflow": 5,
}

SELECTS = frozenset(
    f"{many}{of}_select"
    for many in ("", "multi_")
    for of in ("static", "users", "conversations", "channels", "external")
)
INPUTS = SELECTS | {
    "plain_text_input",
    "number_input",
    "checkboxes",
    "radio_buttons",
    "file_input",
    "datepicker",
    "timepicker",
    "url_text_input",
    "email_text_input",
    "rich_text_input",
}
PRESSED = SELECTS | {"button", "overflow", "checkboxes", "radio_buttons", "datepicker"}

_BARE_MARKUP = re.compile(r"<(?![@#!]|https?://|mailto:|slack://)|&(?!amp;|lt;|gt;)")


def message_problems(text: str, blocks: Any) -> list[str]:
    """Check what a message says."""
    found = [] if text or not blocks else ["blocks without text for notifications"]
    if len(text) > TEXT_CHARACTERS:
        found.append(f"text has {len(text)} of {TEXT_CHARACTERS} characters")
    if not isinstance(blocks, list):
        return [*found, "blocks is no list"]
    if len(everything(blocks)) > MESSAGE_CHARACTERS:
        found.append(f"blocks have {len(everything(blocks))} of {MESSAGE_CHARACTERS} characters")
    found += _many(blocks, "blocks", MESSAGE_BLOCKS)
    return [*found, *_all_blocks(blocks, "message")]


def view_problems(view: Any) -> list[str]:
    """Check a modal or a home tab."""
    if not isinstance(view, dict) or view.get("type") not in {"modal", "home"}:
        return ["view has no known type"]
    kind, blocks = view["type"], view.get("blocks")
    if not isinstance(blocks, list):
        return ["view has no blocks"]
    found = _many(blocks, "blocks", VIEW_BLOCKS)
    if len(everything(view).encode()) > VIEW_BYTES:
        found.append("view is over 250 kB")
    for name, most in (("callback_id", ID_CHARACTERS), ("private_metadata", 3000)):
        found += _length(view, name, most)
    if kind == "modal":
        found += _text(view.get("title"), "title", 24, plain=True)
        for name in ("submit", "close"):
            if name in view:
                found += _text(view[name], name, 24, plain=True)
        if any(block.get("type") == "input" for block in blocks) and "submit" not in view:
            found.append("input blocks without submit")
    return [*found, *_all_blocks(blocks, kind)]


def _all_blocks(blocks: list[Json], surface: str) -> list[str]:
    found = []
    for number, block in enumerate(blocks):
        check = _BLOCKS.get(block.get("type", ""))
        if check is None:
            problems = [f"type {block.get('type')!r} is unknown"]
        else:
            problems = check(block) + _length(block, "block_id", ID_CHARACTERS)
        if surface == "message" and _first(walk(block), "file_input"):
            problems.append("file_input works in modals only")
        if surface != "modal" and block.get("type") == "input" and surface != "home":
            problems.append("input in a message")
        found += [f"blocks[{number}] ({block.get('type')}): {problem}" for problem in problems]
    found += _repeated("block_id", (block.get("block_id") for block in blocks))
    for block in blocks:
        found += _repeated("action_id", (e["action_id"] for e in elements(block)))
    return found


def _section(block: Json) -> list[str]:
    found = []
    if "text" in block:
        found += _text(block["text"], "text", TEXT_BLOCK)
    elif not block.get("fields"):
        found.append("neither text nor fields")
    fields = block.get("fields", [])
    found += _many(fields, "fields", 10)
    for field in fields:
        found += _text(field, "field", 2000)
    if "accessory" in block:
        found += _element(block["accessory"])
    return found


def _header(block: Json) -> list[str]:
    return _text(block.get("text"), "text", 150, plain=True)


def _context(block: Json) -> list[str]:
    inside = block.get("elements") or []
    found = _many(inside, "elements", 10, least=1)
    for element in inside:
        if element.get("type") == "image":
            found += _image(element)
        else:
            found += _text(element, "element", TEXT_BLOCK)
    return found


def _actions(block: Json) -> list[str]:
    inside = block.get("elements") or []
    found = _many(inside, "elements", 25, least=1)
    for element in inside:
        found += _element(element)
    return found


def _input(block: Json) -> list[str]:
    element = block.get("element") or {}
    found = _text(block.get("label"), "label", 2000, plain=True)
    if "hint" in block:
        found += _text(block["hint"], "hint", 2000, plain=True)
    if element.get("type") not in INPUTS:
        found.append(f"element {element.get('type')!r} takes no input")
    return found + _element(element)


def _image(block: Json) -> list[str]:
    found = _length(block, "alt_text", 2000, needed=True)
    if not block.get("image_url") and not block.get("slack_file"):
        found.append("neither image_url nor slack_file")
    return found


def _video(block: Json) -> list[str]:
    found = _text(block.get("title"), "title", 199, plain=True)
    for name in ("alt_text", "thumbnail_url", "video_url"):
        found += _length(block, name, TEXT_BLOCK, needed=True)
    if not str(block.get("video_url", "")).startswith("https://"):
        found.append("video_url is not https")
    return found


def _nothing(block: Json) -> list[str]:
    return []


def _rich_text(block: Json) -> list[str]:
    return [] if isinstance(block.get("elements"), list) else ["no elements"]


def _file(block: Json) -> list[str]:
    return _length(block, "external_id", ID_CHARACTERS, needed=True)


_BLOCKS: dict[str, Callable[[Json], list[str]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "input": _input,
    "image": _image,
    "video": _video,
    "divider": _nothing,
    "rich_text": _rich_text,
    "file": _file,
}


def _element(element: Json) -> list[str]:
    kind = element.get("type", "")
    if kind == "image":
        return _image(element)
    if kind not in PRESSED | INPUTS:
        return [f"element {kind!r} is unknown"]
    found = _length(element, "action_id", ID_CHARACTERS)
    if "confirm" in element:
        for name, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
            found += _text(element["confirm"].get(name), f"confirm.{name}", most, plain=True)
    if "placeholder" in element:
        found += _text(element["placeholder"], "placeholder", 150, plain=True)
    return found + _ELEMENTS.get(kind, _nothing)(element) + _choices(kind, element)


def _button(element: Json) -> list[str]:
    found = _text(element.get("text"), "button text", 75, plain=True)
    found += _length(element, "value", BUTTON_VALUE)
    if element.get("style", "primary") not in {"primary", "danger"}:
        found.append(f"style {element['style']!r}")
    return found


def _text_input(element: Json) -> list[str]:
    found = _length(element, "initial_value", TEXT_BLOCK)
    if not 0 < element.get("max_length", 1) <= TEXT_BLOCK:
        found.append("max_length is not between 1 and 3000")
    return found


def _number_input(element: Json) -> list[str]:
    return [] if "is_decimal_allowed" in element else ["is_decimal_allowed is missing"]


def _file_input(element: Json) -> list[str]:
    found = _many(element.get("filetypes", [""]), "filetypes", 100, least=1)
    if not 1 <= element.get("max_files", 10) <= 10:
        found.append("max_files is not between 1 and 10")
    return found


_ELEMENTS: dict[str, Callable[[Json], list[str]]] = {
    "button": _button,
    "plain_text_input": _text_input,
    "number_input": _number_input,
    "file_input": _file_input,
}


def _choices(kind: str, element: Json) -> list[str]:
    if kind in {"static_select", "multi_static_select"} and "option_groups" in element:
        groups = element["option_groups"]
        found = _many(groups, "option_groups", 100, least=1)
        options = [option for group in groups for option in group.get("options", [])]
    elif kind in MOST_OPTIONS:
        options = element.get("options") or []
        found = _many(options, "options", MOST_OPTIONS[kind], least=1)
    else:
        return []
    for option in options:
        plain = kind not in {"checkboxes", "radio_buttons"}
        found += _text(option.get("text"), "option text", 75, plain=plain)
        found += _length(option, "value", 150, needed=True)
    chosen = element.get("initial_options") or [element.get("initial_option")]
    strange = [option for option in chosen if option and option not in options]
    found += [f"initial option {option['value']!r} is none" for option in strange]
    return found + _repeated("option value", (option.get("value") for option in options))


def _text(thing: Any, name: str, most: int, *, plain: bool = False) -> list[str]:
    if not isinstance(thing, dict) or thing.get("type") not in {"plain_text", "mrkdwn"}:
        return [f"{name} is no text object"]
    if plain and thing["type"] != "plain_text":
        return [f"{name} must be plain_text"]
    found = _length(thing, "text", most, needed=True, of=name)
    if thing["type"] == "mrkdwn" and _BARE_MARKUP.search(thing.get("text", "")):
        found.append(f"{name} has markup that was not escaped: {thing['text']!r}")
    return found


def _length(
    thing: Json, name: str, most: int, *, needed: bool = False, of: str | None = None
) -> list[str]:
    value = thing.get(name)
    if value is None:
        return [f"{of or name} is missing"] if needed else []
    if not isinstance(value, str):
        return [f"{of or name} is no string"]
    if not value and needed:
        return [f"{of or name} is empty"]
    return [f"{of or name} has {len(value)} of {most} characters"] if len(value) > most else []


def _many(things: Any, name: str, most: int, *, least: int = 0) -> list[str]:
    if not isinstance(things, list):
        return [f"{name} is no list"]
    return [] if least <= len(things) <= most else [f"{len(things)} {name}, {least} to {most} go"]


def _repeated(name: str, values: Iterable[str | None]) -> list[str]:
    counted = Counter(value for value in values if value)
    return [f"{name} {value!r} is there twice" for value, count in counted.items() if count > 1]


def _first(things: Iterable[Json], kind: str) -> Json | None:
    return next((thing for thing in things if thing.get("type") == kind), None)
