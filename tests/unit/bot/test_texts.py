from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ADAPTERS = ("bot/discord", "bot/slack", "bot/terminal")

SHOWING = {
    *("send", "send_message", "edit_message", "edit_original_response", "respond", "say", "print"),
    *("Button", "TextInput", "Modal", "Embed", "Choice", "Select", "SelectOption", "ContextMenu"),
    *("locale_str", "set_footer", "add_field", "_plain", "_header", "_note", "write"),
}
"""Calls whose text people see."""

SHOWN = {
    *("content", "label", "title", "placeholder", "description", "text", "hint", "submit", "close"),
    *("footer", "alt_text", "fallback", "initial_comment"),
}
"""Arguments and members of blocks whose text people see."""

WORD = re.compile(r"[A-Za-z]{3,}")
NAME = re.compile(r"[a-z]+([_-][a-z]+)+")
"""Of a field, a header or a table: not for people."""


def literals(node: ast.expr) -> Iterator[str]:
    """Yield the words that an expression says by itself, not what it asks the catalog for."""
    match node:
        case ast.Constant(value=str() as said):
            yield said
        case ast.JoinedStr(values=values):
            for value in values:
                yield from literals(value)
        case ast.BinOp(left=left, right=right):
            yield from literals(left)
            yield from literals(right)
        case ast.IfExp(body=body, orelse=other):
            yield from literals(body)
            yield from literals(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from literals(value)


def shown(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of every literal that is shown."""
    for node in ast.walk(tree):
        places: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            places += [word.value for word in node.keywords if word.arg in SHOWN]
            places += node.args if called in SHOWING else []
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            places += [value for key, value in pairs if getattr(key, "value", None) in SHOWN]
        for place in places:
            for said in literals(place):
                if WORD.search(said) and not NAME.fullmatch(said):
                    yield node.lineno, said


def test_adapters_show_no_text_that_is_not_in_the_catalog():
    found = {
        f"{path.relative_to(ROOT)}:{line}: {said}"
        for folder in ADAPTERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, said in shown(ast.parse(path.read_text("utf-8")))
    }
    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        'channel.send("Hello there")',
        'ui.Button(label="Press me")',
        'ui.Button(label=f"Press {name} now")',
        '{"type": "plain_text", "text": "Press me"}',
        'console.print("Welcome " + name)',
        'Modal(title="Edit" if one else text("form.edit", locale))',
    ],
)
def test_a_text_of_its_own_is_noticed(code):
    assert list(shown(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ['channel.send(text("chat.idle", locale))', '{"type": "button", "text": words}']
)
def test_a_text_of_the_catalog_is_not(code):
    assert not list(shown(ast.parse(code)))
