"""Functions are called by what they do: a verb, not a participle such as `checked` or `named`."""

from __future__ import annotations

import ast
import re

from tests.fakes.sources import modules

PARTICIPLE = re.compile(r"[a-z]+ed(_|$)")
VERBS = frozenset({"embed", "feed", "seed"})
VALUES = frozenset({"property", "cached_property", "classmethod"})
"""Decorators of what is not called for what it does: attributes, and constructors."""


def is_value(function):
    return any(
        (isinstance(one, ast.Attribute) and one.attr == "setter")
        or (isinstance(one, ast.Name) and one.id in VALUES)
        for one in function.decorator_list
    )


def test_public_functions_begin_with_a_verb():
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path, nodes in modules()
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if PARTICIPLE.match(node.name) and node.name.split("_")[0] not in VERBS
        if not is_value(node)
    ]
    assert not found, "\n".join(found)
