"""Findings of the doctor: what was checked, its state, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from commands.text.messages import error_text, text
from inference.domain.errors import RushesError, UserError


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARN = "warn"
    """It works, but something is missing or will break."""
    FAIL = "fail"
    """Something that is configured does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    check: str
    """What was looked at, such as `discord.token`."""
    level: Level
    code: str
    """Catalog key of its sentence; what tells two states of one check apart."""
    params: Mapping[str, Any] = field(default_factory=dict)

    def text(self, locale: str) -> str:
        """Return the sentence, which says what to do about a problem."""
        if self.code.startswith("error."):
            error = RushesError(self.code.removeprefix("error."), **self.params)
            return error_text(error, locale)
        return text(self.code, locale, **self.params)


def ok(check: str, code: str, /, **params: Any) -> Finding:
    """Return the finding that something works."""
    return Finding(check=check, level=Level.OK, code=code, params=params)


def warn(check: str, code: str, /, **params: Any) -> Finding:
    """Return the finding that something needs attention."""
    return Finding(check=check, level=Level.WARN, code=code, params=params)


def fail(check: str, code: str, /, **params: Any) -> Finding:
    """Return the finding that something does not work."""
    return Finding(check=check, level=Level.FAIL, code=code, params=params)


def report_exception(check: str, error: Exception) -> Finding:
    """Return a failed finding for a check that raised: the others still run."""
    match error:
        case RushesError():
            return report_error(check, error)
        case OSError(filename=str(path)):
            problem = error.strerror or type(error).__name__
            return report_error(check, UserError("cli.os_error", path=path, problem=problem))
    return fail(check, "doctor.broken", problem=type(error).__name__)


def report_error(check: str, error: RushesError) -> Finding:
    """Return an error as a finding that something does not work."""
    return fail(check, f"error.{error.code}", **error.params)
