"""Watchdog of a worker process."""

from __future__ import annotations

from dataclasses import dataclass

from inference.domain.errors import WorkerLost
from inference.domain.render import Stage
from inference.workers.protocol import Done, Failed, Message, ProgressMessage, Stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """Time limits of a worker in seconds."""

    hello_seconds: float = 60.0
    """From the start to the first message; importing torch from a cold disk is slow."""
    heartbeat_seconds: float = 1.0
    heartbeat_limit_seconds: float = 20.0
    """Without any message for so long the process is stopped or stuck."""
    load_limit_seconds: float = 1800.0
    """Without progress while the weights are read."""
    step_limit_seconds: float = 300.0
    """Without progress while rendering or finishing."""
    cancel_grace_seconds: float = 30.0
    """From an abandoned `render` to the kill; cancelling by id never kills."""
    shutdown_grace_seconds: float = 10.0
    restart_min_seconds: float = 0.1
    """Pause before the first restart; doubled until a job succeeds."""
    restart_max_seconds: float = 30.0


class Watchdog:
    """Judges a worker by its messages and by the time that passes between them.

    It has no clock: the caller says how long it really listened, so that a pause of the
    caller's own is not held against the worker.
    """

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._silent_seconds = 0.0
        self._idle_seconds = 0.0
        self._progress_limit_seconds: float | None = None

    def started(self) -> None:
        """A job was sent: from now on there must be progress."""
        self._idle_seconds = 0.0
        self._progress_limit_seconds = self._limits.load_limit_seconds

    def heard(self, message: Message) -> None:
        """Note a message of the worker."""
        self._silent_seconds = 0.0
        match message:
            case ProgressMessage(progress=progress):
                self._idle_seconds = 0.0
                self._progress_limit_seconds = (
                    self._limits.load_limit_seconds
                    if progress.stage is Stage.LOADING
                    else self._limits.step_limit_seconds
                )
            case Done() | Failed() | Stopped():
                self._progress_limit_seconds = None

    def passed(self, seconds: float) -> None:
        """Count time spent listening.

        Raises:
            WorkerLost: `worker.hung`, with the limit it broke.
        """
        self._silent_seconds += seconds
        self._idle_seconds += seconds
        limits = self._limits
        if self._silent_seconds > limits.heartbeat_limit_seconds:
            raise WorkerLost("worker.hung", silent_seconds=limits.heartbeat_limit_seconds)
        allowed = self._progress_limit_seconds
        if allowed is not None and self._idle_seconds > allowed:
            raise WorkerLost("worker.hung", idle_seconds=allowed)
