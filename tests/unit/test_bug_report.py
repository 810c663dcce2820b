"""Every `log_bug` says where a bug is, and never what its exception or somebody's request says."""

from __future__ import annotations

import ast
import functools
import io
import json
import logging

import pytest
import structlog

from bot.plugins.guards import GuardedPlugin, assistant
from inference.bug_report import log_bug
from inference.domain.errors import AssistantError
from inference.log_setup import LogStyle, configure_logging
from inference.plugins.problem import PluginError
from tests.fakes.sources import PACKAGES, ROOT

LOGGERS = {"_log", "log", "self._log_of(use)"}

EXCEPTIONS = {"error", "failed.reason", "said.exc_value", "exc or TimeoutError()"}

HARMLESS = {
    "attempt=job.attempt",
    "command=command",  # what it is called
    "command=what",  # its name, or "line", "button", …
    "directory=str(directory)",  # of a job
    "effect=use.name",
    "file=file",  # of a model's folder
    "group=self.group",  # of entry points
    "job=act.job_id",
    "job=job.id",
    "job=job_id",
    "job=said.job.id",
    "job=self._job",
    "key=key",  # in a file of a model's folder
    "kind=act.kind.value",
    "loop=name",
    "model=spec.model",
    "operation=call.operation",  # a name of ours
    "package=self.package",
    "package=use.package",
    "platform=call.channel.platform",
    "platform=platform.name",
    "plugin=self.plugin",
    "problem=failed.reason.problem",  # of a `BadAnswerError`: words of ours
    "route=act.route.name.lower()",
    "times=count",
    "version=use.version",
    "what='gateway'",
    "what='http'",
    "what='listener'",
    "what=event",  # a name that discord.py gives
    "what=name",  # of a background task
    "what=str(interaction.type.name)",
}
"""All fields beside a bug. None can hold what people write, a token or an address; no new one may.

The same names of variables stand for the same things everywhere, so a field is read as it stands.
"""

CANARY = "canary-" + "prompt with xoxb-" + "canary-token"


@functools.cache
def calls():
    """Return where bugs are logged: `log_bug` and `bind`, each with its place."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text("utf-8")
            if path.name != "bug_report.py" and ("log_bug" in text or "log.bind" in text):
                where = path.relative_to(ROOT).as_posix()
                found += [(f"{where}:{node.lineno}", node) for node in _logging(ast.parse(text))]
    return tuple(found)


def _logging(tree):
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="inference.bug_report"):
                assert not any(name.asname for name in node.names), node.lineno
            case ast.Import():
                assert "inference.bug_report" not in {name.name for name in node.names}
            case ast.Call(func=ast.Name(id="log_bug")):
                yield node
            case ast.Call(func=ast.Attribute(value=ast.Name(id="_log" | "log"), attr="bind")):
                yield node


def bugs():
    """Return event -> the names of all fields that come with it somewhere."""
    found = {}
    for _, call in calls():
        if len(call.args) > 1:
            fields = found.setdefault(call.args[1].value, set())
            fields.update(field.arg for field in call.keywords)
    return found


def test_a_bug_is_logged_with_its_event_its_exception_and_harmless_fields():
    used = set()
    for where, call in calls():
        if isinstance(call.func, ast.Name):
            log, event, error = call.args
            assert ast.unparse(log) in LOGGERS, where
            assert isinstance(event, ast.Constant), where
            assert ast.unparse(error) in EXCEPTIONS, where
        else:
            assert not call.args, where
        assert None not in {field.arg for field in call.keywords}, f"{where}: fields unseen"
        fields = {ast.unparse(field) for field in call.keywords}
        assert fields <= HARMLESS, where
        used |= fields
    assert len(bugs()) > 25
    assert used == HARMLESS, "no call gives these any more"


class Quoting(LookupError):
    """Quotes what it was about wherever an exception can."""

    def __init__(self):
        super().__init__(CANARY)
        self.payload = CANARY
        self.add_note(CANARY)

    def __str__(self):
        return CANARY

    __repr__ = __str__


def caught_with_cause():
    prompt = CANARY
    try:
        int(prompt)
    except ValueError as error:
        raise Quoting from error


def caught_with_context():
    prompt = CANARY
    try:
        json.loads(prompt)
    except ValueError:
        raise Quoting  # noqa: B904 - what is raised in a handler by mistake


def caught_in_a_group():
    try:
        caught_with_cause()
    except LookupError as error:
        raise ExceptionGroup(
            CANARY, [error, SyntaxError(CANARY, (CANARY, 1, 1, CANARY))]
        ) from error


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("raises", [caught_with_cause, caught_with_context, caught_in_a_group])
def test_no_bug_shows_what_its_exception_says(style, raises):
    configure_logging(LogStyle(level="debug", format=style))
    [handler] = logging.getLogger().handlers
    log = structlog.get_logger("bot.test")
    try:
        raises()
    except Exception as caught:  # noqa: BLE001 - as the callers of `log_bug`
        error = caught
    for event, fields in bugs().items():
        handler.setStream(written := io.StringIO())
        bug_id = log_bug(log, event, error, **dict.fromkeys(fields, "field"))
        text = written.getvalue()
        assert "canary" not in text, event
        for seen in (event, bug_id, type(error).__name__, raises.__name__, *fields):
            assert seen in text, event
        if style == "json":
            entry = json.loads(text)
            assert (entry["event"], entry["bug_id"]) == (event, bug_id)
            assert {entry[field] for field in fields} <= {"field"}


@pytest.mark.parametrize(("answer", "said"), [(PluginError(CANARY), False), (None, True)])
async def test_of_a_plugin_only_our_own_words_are_logged(answer, said):
    """A plugin may borrow our exception and quote a prompt with it."""

    class Advises:
        name = "advises"

        async def refine(self, request):
            if answer:
                raise answer
            return answer

    configure_logging(LogStyle(format="json"))
    [handler] = logging.getLogger().handlers
    handler.setStream(written := io.StringIO())
    named = GuardedPlugin(group="rushes.assistants", plugin="advises", package="advice")
    with pytest.raises(AssistantError):
        await assistant(Advises(), named).refine(None)
    entry = json.loads(written.getvalue())
    assert (entry["event"], entry["plugin"]) == ("plugin.failed", "advises")
    assert entry.get("problem") == ("it returned NoneType, no text" if said else None)
    assert "canary" not in written.getvalue()
