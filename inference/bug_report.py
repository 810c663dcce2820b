"""Log entries for unexpected exceptions: type and stack frames, never the message.

The message of an exception may quote a prompt or a token.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Iterator
from typing import Any, Protocol


class _Logger(Protocol):
    def error(self, event: str, /, **fields: Any) -> Any:
        """Log an error."""
        ...


def log_bug(log: _Logger, event: str, error: BaseException, **fields: Any) -> str:
    """Log an unexpected exception without its message; return an id to find it by.

    Args:
        log: The structlog logger of the module that caught it.
        event: `area.event`.
        error: What was caught.
        fields: What it was about, such as `job`.
    """
    bug_id = secrets.token_hex(4)
    log.error(event, bug_id=bug_id, **describe(error), **fields)
    return bug_id


def describe(error: BaseException) -> dict[str, str]:
    """Return types and stack frames of an exception and of its causes."""
    links = list(chain(error))
    return {
        "error": " < ".join(type(link).__name__ for link in links),
        "trace": "".join("".join(traceback.format_tb(link.__traceback__)) for link in links),
    }


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, the members of a group, and what each of them was raised from."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            pending.extend(link.exceptions)
        if link.__cause__ is not None:
            pending.append(link.__cause__)
        elif link.__context__ is not None and not link.__suppress_context__:
            pending.append(link.__context__)
