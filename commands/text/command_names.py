"""Pattern that finds the commands which a text of ours names."""

from __future__ import annotations

import functools
import re

from inference.domain.untrusted_text import FIRST_STRONG_ISOLATE, POP_ISOLATE


@functools.cache
def command_pattern(names: tuple[str, ...], more: str = "") -> re.Pattern[str]:
    """Return a pattern whose group `name` is a command that is named.

    It matches isolated text too, without that group: people wrote it, and it stays.

    Args:
        names: Commands as they are typed, such as `/rushes queue`; of two that begin alike, the
            longer one first.
        more: Pattern of what else is looked for.
    """
    return re.compile(
        f"{FIRST_STRONG_ISOLATE}[^{POP_ISOLATE}]*{POP_ISOLATE}"
        rf"|(?<![\w./-])(?P<name>{'|'.join(map(re.escape, names))})(?![A-Za-z0-9_/-])"
        + (f"|{more}" if more else "")
    )
