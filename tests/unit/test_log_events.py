"""Every log event is `area.event` with fields: no sentence, no format string, no traceback."""

from __future__ import annotations

import ast
import re

import pytest

from tests.fakes.sources import modules

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
CODES = {"code", "status", "passing"}
"""Attributes of exceptions that are never text of a person or of a library."""

FIGURES = {"error", "exit", "idle_seconds", "reason", "silent_seconds"}
"""Params of our own exceptions that are codes or numbers."""

TELL_CODES = {"_status", "error_text", "problem", "slack_code"}
"""Functions that return a code or a text of the catalog for an exception."""


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


def test_the_fields_of_a_log_entry_are_written_out():
    for module, nodes in modules():
        if module.as_posix() == "inference/bug_report.py":
            continue  # it hands on what it was given
        for call, _ in events(nodes):
            assert all(field.arg for field in call.keywords), f"{module}:{call.lineno}"


def is_harmless(node):
    """Return whether an expression takes nothing but a code, number or type from an exception."""
    match node:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="type")), attr="__name__"):
            return True
        case ast.Attribute(attr=name) if name in CODES:
            return True
        case ast.Call(func=ast.Name(id=name)) if name in TELL_CODES:
            return True
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=name), *_]):
            return name in CODES
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(attr="params"), attr="get"),
            args=[ast.Constant(value=name)],
        ):
            return name in FIGURES
    return False


def names_in(node):
    """Yield the variables that an expression reads, but in its harmless parts."""
    if isinstance(node, ast.Name):
        yield node.id
    elif not is_harmless(node):
        for child in ast.iter_child_nodes(node):
            yield from names_in(child)


def exceptions_in(function):
    """Return the variables of a function that hold an exception, or text made of one."""
    arguments = (*function.args.args, *function.args.kwonlyargs)
    found = {each.arg for each in arguments if each.annotation and of_an_exception(each.annotation)}
    found |= {each.name for each in ast.walk(function) if isinstance(each, ast.ExceptHandler)}
    found |= {
        each.name
        for each in ast.walk(function)
        if isinstance(each, ast.MatchAs) and isinstance(each.pattern, ast.MatchClass)
        if of_an_exception(each.pattern.cls)
    }
    found.discard(None)
    assigned = [
        (each.targets if isinstance(each, ast.Assign) else [each.target], each.value)
        for each in ast.walk(function)
        if isinstance(each, ast.Assign | ast.AnnAssign | ast.NamedExpr) and each.value
    ]
    while (
        more := {
            name.id
            for targets, value in assigned
            if not found.isdisjoint(names_in(value))
            for name in targets
            if isinstance(name, ast.Name)
        }
        - found
    ):
        found |= more
    return found


def of_an_exception(annotation):
    names = re.findall(r"\w+", ast.unparse(annotation))
    return any(name.endswith(("Error", "Exception", "WorkerLost")) for name in names)


def leaks(function):
    """Yield the log calls of a function with a field that is made of an exception."""
    found = exceptions_in(function)
    for call, _ in events(ast.walk(function)):
        if isinstance(call.func, ast.Name):
            continue  # `log_bug` leaves the message out
        if any(not found.isdisjoint(names_in(field.value)) for field in call.keywords):
            yield call


def test_no_log_entry_but_that_of_a_bug_gets_an_exception():
    for module, nodes in modules():
        for function in nodes:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found = [f"{module}:{call.lineno}" for call in leaks(function)]
                assert not found or module.as_posix() == "inference/bug_report.py", found


@pytest.mark.parametrize(
    ("text", "leaking"),
    [
        ("reason = f'{error}'\n  _log.info('a.b', reason=reason)", True),
        ("if reason := str(error):\n   _log.info('a.b', reason=reason)", True),
        ("_log.info('a.b', error=repr(error))", True),
        ("kind = type(error).__name__\n  _log.info('a.b', error=kind, code=error.code)", False),
    ],
)
def test_text_of_an_exception_is_found_through_variables(text, leaking):
    (function,) = ast.parse(f"def f():\n try: pass\n except OSError as error:\n  {text}").body
    assert bool(list(leaks(function))) == leaking
