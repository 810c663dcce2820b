"""Log format of every process: structlog's events and the libraries' records, on stderr.

Messages of exceptions may quote prompts and tokens, so no log shows them: only types and frames.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

from inference.bug_report import describe, log_bug

LIBRARIES: Mapping[str, int] = {
    "": logging.WARNING,
    "discord.client": logging.ERROR,  # below: voice, which the bot does not use
    "discord.http": logging.ERROR,  # below: whole addresses with tokens; the bot logs what counts
    "discord.webhook": logging.ERROR,
    "slack_bolt": logging.ERROR,  # below: whole payloads
    "slack_sdk": logging.ERROR,
    "rushes.slack": logging.ERROR,
    "aiohttp": logging.ERROR,  # below: each request
}
"""The lowest level at which libraries are heard, also where the operator asks for more."""

LOG_NAME = "rushes.log"
"""In the data directory."""

LOG_NAMES = (f"{LOG_NAME}.1", LOG_NAME)
"""The same with the one before, the older first."""

LOG_BYTES = 2_000_000
"""After which a log file is renamed and another begun."""

QUOTING = ("slack_bolt", "slack_sdk", "rushes.slack")
"""Libraries that write exceptions and payloads into their messages."""

_OURS = ("bot", "commands", "inference")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class LogStyle:
    """Log level and output format."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
    process: str = ""
    """Name of a child process; it stands on each of its lines."""
    file: str = ""
    """Where JSON lines are kept as well, for bug reports; see `keep_log`."""


class _Current:
    style = LogStyle()


def current_style() -> LogStyle:
    """Return the style that was configured last; children log in the same."""
    return _Current.style


def configure_logging(style: LogStyle) -> None:
    """Send every log line to stderr, readable or as JSON, from the style's level up."""
    _Current.style = style
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Origin(style.process),
        _without_message,
    ]
    renderer: Processor = structlog.processors.JSONRenderer()
    if style.format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    root = logging.getLogger()
    root.handlers[:] = [_prepare_handler(logging.StreamHandler(), shared, renderer)]
    root.setLevel(style.level.upper())
    if style.file:
        with contextlib.suppress(OSError):  # stderr has it all
            root.addHandler(
                _prepare_handler(_file_handler(style), shared, structlog.processors.JSONRenderer())
            )


def keep_log(directory: Path) -> None:
    """Log as before, and from now on into a file of a directory as well, in all children too."""
    configure_logging(replace(_Current.style, file=str(directory / LOG_NAME)))


def _prepare_handler(
    handler: logging.Handler, shared: Sequence[Processor], renderer: Processor
) -> logging.Handler:
    handler.addFilter(_audible)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _of_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    return handler


class _Forgiving(logging.Handler):
    """Drops lines that a full disk does not take; stderr has them as well."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


class _Rotating(_Forgiving, logging.handlers.RotatingFileHandler):
    pass


class _Watched(_Forgiving, logging.handlers.WatchedFileHandler):
    pass


def _file_handler(style: LogStyle) -> logging.Handler:
    os.close(os.open(style.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if style.process:  # the file is renamed by the process above
        return _Watched(style.file, encoding="utf-8")
    return _Rotating(style.file, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")


def log_uncaught() -> None:
    """Log what ends this process or one of its threads, and warnings, instead of Python's reports.

    Texts of warnings may quote what clients sent: only the category and the place are logged, once
    for each place.
    """

    def on_error(_: type[BaseException], error: BaseException, __: object) -> None:
        log_bug(_log, "process.bug", error)

    def on_thread_error(said: threading.ExceptHookArgs) -> None:
        if said.exc_value is not None and not isinstance(said.exc_value, SystemExit):
            log_bug(_log, "thread.bug", said.exc_value)

    warned: set[tuple[str, int]] = set()

    def on_warning(*said: Any, **_: Any) -> None:
        _, category, filename, lineno, *_rest = said
        if (filename, lineno) not in warned:
            warned.add((filename, lineno))
            where = f"{Path(filename).stem}:{lineno}"
            _log.warning("process.warning", category=category.__name__, where=where)

    # Python's default keeps each text for ever, to show it once.
    warnings.simplefilter("always", append=True)
    warnings.showwarning = on_warning
    sys.excepthook = on_error
    threading.excepthook = on_thread_error


def _audible(record: logging.LogRecord) -> bool:
    """Return whether a record is of ours, or of a library and important enough."""
    if record.name.partition(".")[0] in _OURS:
        return True
    parts = record.name.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), -1, -1))
    return record.levelno >= next(LIBRARIES[name] for name in names if name in LIBRARIES)


class _Origin:
    """Adds the name of a child process."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        if self._process:
            event["process"] = self._process
        return event


def _without_message(_: Any, __: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and frames."""
    caught = event.pop("exc_info", None)
    if caught is True:
        caught = sys.exc_info()
    error = caught[1] if isinstance(caught, tuple) else caught
    if isinstance(error, BaseException):
        event.update(describe(error))
    return event


def _of_library(_: Any, __: str, event: EventDict) -> EventDict:
    """Turn a library's log record into fields, without its arguments: they may hold payloads."""
    record: logging.LogRecord = event["_record"]
    event["event"] = "library.message"
    event["where"] = f"{record.module}:{record.lineno}"
    if not record.name.startswith(QUOTING):
        event["text"] = str(record.msg).partition("\n")[0]
    return event
