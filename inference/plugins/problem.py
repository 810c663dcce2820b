"""Problems of plugins: in full for `rushes plugins`, without quotations for the log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb

BROKEN = (Exception, SystemExit)
"""What somebody else's module may raise when it is imported."""


class PluginError(ValueError):
    """Fault of a plugin, described without quoting its values."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin cannot be used."""

    text: str
    """For `rushes plugins` only: it may quote what an exception of the plugin says."""
    summary: str
    """For the log, health and doctor: the type of an exception and where it was raised."""

    @classmethod
    def of(cls, error: BaseException) -> Problem:
        """Return the description of an exception."""
        if isinstance(error, PluginError):
            return cls(str(error), str(error))
        name = type(error).__name__
        places = [
            f" at {'/'.join(Path(frame.f_code.co_filename).parts[-2:])}:{line}"
            for frame, line in walk_tb(error.__traceback__)
            if not frame.f_code.co_filename.startswith("<")  # Python's import system
        ]
        return cls(f"{name}: {error}", name + "".join(places[-1:]))
