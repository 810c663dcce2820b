"""Every log event is `area.event` with fields: no sentence, no format string, no traceback."""

from __future__ import annotations

import ast
import re

from tests.fakes.sources import modules

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
HARMLESS = (
    "type({0}).__name__",
    "{0}.code",
    "{0}.status",
    "{0}.passing",
    "{0}.params.get('error')",
    "problem({0})",
    "slack_code({0})",
)
"""What of an exception is never its message; the last three are codes that Slack answers."""


def events(nodes):
    """Yield the calls that log, each with what it gives as its event."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="_log" | "log" | "logger"), attr=level):
                if level in LEVELS:
                    assert level != "exception", node.lineno
                    yield node, node.args[0]
            case ast.Name(id="log_bug"):
                yield node, node.args[1]


def test_log_events_have_a_name_and_fields():
    for module, nodes in modules():
        for call, event in events(nodes):
            where = f"{module}:{call.lineno}"
            assert not {"exc_info", "stack_info"} & {field.arg for field in call.keywords}, where
            if isinstance(event, ast.Name) and module.as_posix() == "inference/bug_report.py":
                continue  # it hands on what it was given
            assert isinstance(event, ast.Constant), where
            assert EVENT.fullmatch(event.value), where


def test_no_log_entry_but_that_of_a_bug_gets_an_exception():
    for module, nodes in modules():
        for handler in nodes:
            if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
                continue
            harmless = {each.format(handler.name) for each in HARMLESS}
            for call, _ in events(ast.walk(handler)):
                if isinstance(call.func, ast.Name):
                    continue  # `log_bug` leaves the message out
                for field in call.keywords:
                    names = {each.id for each in ast.walk(field) if isinstance(each, ast.Name)}
                    where = f"{module}:{call.lineno}"
                    assert handler.name not in names or ast.unparse(field.value) in harmless, where
