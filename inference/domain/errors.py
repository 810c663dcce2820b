"""Every error Rushes raises on purpose, as one tree.

RushesError
├── UserError          the person can do something about it: shown through the catalog by `code`
│   └── NotFound       unknown, foreign or forged: deliberately told apart by nobody
├── EngineError        the render failed; `transient` says whether another attempt makes sense
├── AssistantError     the prompt assistant gave no usable answer; the person's own words will do
├── DeliveryError      the platform did not take a message; `transient` says whether to retry
├── WorkerLost         the child process died, hung or never spoke
├── StoreError         the database or the disk is not usable; the operator must act
├── ModeratorUnavailable  a safety check cannot be asked now; the operator decides what follows
└── Cancelled          the render stopped because it was asked to

Anything else that surfaces is a bug: log it with the job id and tell the person that id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RushesError(Exception):
    """Base of all expected errors. `code` names the sentence in the message catalog."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def __str__(self) -> str:
        """Show code and parameters, for operators; people see the catalog's sentence."""
        details = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{self.code}({details})" if details else self.code


class UserError(RushesError):
    """An error that the person can fix; its sentence is shown to them."""


class UserErrors(UserError):
    """Several user errors at once."""

    def __init__(self, errors: Sequence[RushesError]) -> None:
        super().__init__("several", count=len(errors))
        self.errors = tuple(errors)

    @staticmethod
    def of(errors: Sequence[RushesError]) -> RushesError:
        """Return the only error, or all of them as one."""
        return errors[0] if len(errors) == 1 else UserErrors(errors)


class NotFound(UserError):
    """No such thing for this person: unknown, expired, forged and foreign ids look the same."""


class EngineError(RushesError):
    """A render failed. `transient` means that the same job may succeed on another attempt."""

    def __init__(self, code: str, *, transient: bool = False, **params: Any) -> None:
        super().__init__(code, **params)
        self.transient = transient


class AssistantError(RushesError):
    """The prompt assistant does not answer, declined, or returned no prompt."""


class DeliveryError(RushesError):
    """A platform refused a message, or could not be reached.

    Attributes:
        transient: True when the same call may succeed later.
        retry_after: Seconds the platform asked us to wait, if it did.
        unsent: True when the platform certainly did not take the message.
        passing: The route is closed, but may open again soon, such as after a bot's time-out.
        why: Catalog key of half a sentence for those who get the message by the next route.
        repeatable: Whether a message that may be there already can be posted again all the same:
            the platform would know it by its key.
    """

    def __init__(
        self,
        code: str,
        *,
        transient: bool,
        retry_after: float | None = None,
        unsent: bool = False,
        passing: bool = False,
        why: str | None = None,
        repeatable: bool = False,
        **params: Any,
    ) -> None:
        super().__init__(code, **params)
        self.transient = transient
        self.retry_after = retry_after
        self.unsent = unsent
        self.passing = passing
        self.why = why
        self.repeatable = repeatable


class WorkerLost(RushesError):
    """The worker process died (`worker.died`), hung (`worker.hung`) or never started."""


class StoreError(RushesError):
    """The database or its disk cannot be used; the operator must act."""


class ModeratorUnavailable(RushesError):
    """A safety check cannot be asked now: without it, the config decides what is allowed."""


class Cancelled(RushesError):
    """The render stopped at a step boundary because it was asked to."""

    def __init__(self) -> None:
        super().__init__("job.cancelled")


def unwrap_group(error: BaseException) -> BaseException:
    """Return the only exception inside nested exception groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
