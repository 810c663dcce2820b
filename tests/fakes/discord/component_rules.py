"""What Discord refuses in components and modals."""

from __future__ import annotations

from typing import Any

from tests.fakes.discord.entities import walk

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SELECTS = frozenset({3, 5, 6, 7, 8})
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER, LABEL, UPLOAD = (
    *range(9, 15),
    17,
    18,
    19,
)
CLASSIC_TOP = frozenset({ROW})
NEWER_TOP = frozenset({ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR, CONTAINER})
MODAL_TOP = frozenset({ROW, TEXT, LABEL})
LINK_STYLE, PREMIUM_STYLE = 5, 6
NEWER_COUNT = 40
NEWER_TEXT = 4000


def check_components(components: list[dict[str, Any]], *, newer: bool) -> list[str]:
    """Return what is wrong with the components of a message.

    Args:
        components: As sent.
        newer: Whether the message has the flag of components v2.
    """
    everything = list(walk(components))
    top = NEWER_TOP if newer else CLASSIC_TOP
    problems = [f"components: type {c['type']} on top" for c in components if c["type"] not in top]
    if not newer and len(components) > 5:
        problems.append("components: at most 5 rows")
    if newer and len(everything) > NEWER_COUNT:
        problems.append(f"components: {len(everything)} in all, at most {NEWER_COUNT}")
    written = sum(len(c.get("content", "")) for c in everything if c["type"] == TEXT)
    if written > NEWER_TEXT:
        problems.append(f"components: {written} characters of text, at most {NEWER_TEXT}")
    for component in everything:
        problems += _check_one(component)
    return problems + _check_ids(everything)


def check_modal(modal: dict[str, Any]) -> list[str]:
    """Return what is wrong with a modal."""
    components = modal.get("components") or []
    everything = list(walk(components))
    problems = []
    if not 1 <= len(modal.get("title") or "") <= 45:
        problems.append("title: 1-45 characters")
    if not 1 <= len(modal.get("custom_id") or "") <= 100:
        problems.append("custom_id: 1-100 characters")
    if not 1 <= len(components) <= 5:
        problems.append("components: 1-5")
    problems += [
        f"components: type {c['type']} on top" for c in components if c["type"] not in MODAL_TOP
    ]
    for component in everything:
        problems += _check_one(component)
        if component["type"] == TEXT_INPUT:
            problems += _check_text_input(component)
        if component["type"] == LABEL and not 1 <= len(component.get("label") or "") <= 45:
            problems.append("label: 1-45 characters")
        if component["type"] == LABEL and len(component.get("description") or "") > 100:
            problems.append("label: description of at most 100 characters")
    return problems + _check_ids(everything)


def _check_ids(everything: list[dict[str, Any]]) -> list[str]:
    ids = [c["custom_id"] for c in everything if c.get("custom_id")]
    problems = [f"custom_id: {len(name)} characters" for name in ids if len(name) > 100]
    if len(set(ids)) < len(ids):
        problems.append("custom_id: one of them twice")
    return problems


def _check_one(component: dict[str, Any]) -> list[str]:
    check = _CHECKS.get(component["type"])
    return check(component) if check else []


def _check_section(section: dict[str, Any]) -> list[str]:
    fits = 1 <= len(section.get("components") or []) <= 3 and section.get("accessory")
    return [] if fits else ["section: 1-3 texts and an accessory"]


def _check_text(text: dict[str, Any]) -> list[str]:
    return [] if text.get("content") else ["text display: empty"]


def _check_gallery(gallery: dict[str, Any]) -> list[str]:
    fits = 1 <= len(gallery.get("items") or []) <= 10
    return [] if fits else ["media gallery: 1-10 items"]


def _check_row(row: dict[str, Any]) -> list[str]:
    kinds = [component["type"] for component in row.get("components") or []]
    if not kinds:
        return ["row: empty"]
    if kinds == [BUTTON] * len(kinds):
        return [] if len(kinds) <= 5 else ["row: at most 5 buttons"]
    if len(kinds) == 1 and (kinds[0] in SELECTS or kinds[0] == TEXT_INPUT):
        return []
    return [f"row: holds types {kinds}"]


def _check_button(button: dict[str, Any]) -> list[str]:
    style = button.get("style")
    problems = []
    if len(button.get("label") or "") > 80:
        problems.append("button: label of at most 80 characters")
    if not button.get("label") and not button.get("emoji") and style != PREMIUM_STYLE:
        problems.append("button: needs a label or an emoji")
    if style == LINK_STYLE:
        if not button.get("url") or button.get("custom_id") or len(button["url"]) > 512:
            problems.append("link button: a URL of at most 512 characters and no custom_id")
    elif style != PREMIUM_STYLE and (not button.get("custom_id") or button.get("url")):
        problems.append("button: a custom_id and no URL")
    return problems


def _check_select(select: dict[str, Any]) -> list[str]:
    options = select.get("options") or []
    problems = []
    if not 1 <= len(options) <= 25:
        problems.append("select: 1-25 options")
    for option in options:
        lengths = [len(option.get(name) or "") for name in ("label", "value", "description")]
        if max(lengths) > 100 or not lengths[0] or not lengths[1]:
            problems.append("select: label and value 1-100, description at most 100")
    if len({option.get("value") for option in options}) < len(options):
        problems.append("select: a value twice")
    if len(select.get("placeholder") or "") > 150:
        problems.append("select: placeholder of at most 150 characters")
    return problems


def _check_text_input(entry: dict[str, Any]) -> list[str]:
    problems = []
    if len(entry.get("label") or "") > 45:
        problems.append("text input: label of at most 45 characters")
    if len(entry.get("placeholder") or "") > 100:
        problems.append("text input: placeholder of at most 100 characters")
    if len(entry.get("value") or "") > min(4000, entry.get("max_length") or 4000):
        problems.append("text input: prefilled with more than it takes")
    return problems


_CHECKS = {
    ROW: _check_row,
    BUTTON: _check_button,
    STRING_SELECT: _check_select,
    SECTION: _check_section,
    TEXT: _check_text,
    GALLERY: _check_gallery,
}
