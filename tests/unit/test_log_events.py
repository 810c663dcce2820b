"""Every log event is `area.event` with fields: no sentence, no format string, no traceback."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("bot", "commands", "inference")
    for path in (ROOT / package).rglob("*.py")
)
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def events(tree):
    """Yield the calls that log, each with what it gives as its event."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="_log" | "log" | "logger"), attr=level):
                if level in LEVELS:
                    assert level != "exception", node.lineno
                    yield node, node.args[0]
            case ast.Name(id="log_bug"):
                yield node, node.args[1]


@pytest.mark.parametrize("module", MODULES)
def test_log_events_have_a_name_and_fields(module):
    for call, event in events(ast.parse((ROOT / module).read_text())):
        where = f"{module}:{call.lineno}"
        assert not {"exc_info", "stack_info"} & {field.arg for field in call.keywords}, where
        if isinstance(event, ast.Name) and module == "inference/bug_report.py":
            continue  # it hands on what it was given
        assert isinstance(event, ast.Constant), where
        assert EVENT.fullmatch(event.value), where
