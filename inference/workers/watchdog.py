"""Watchdog of worker processes: detects those that hang."""

from __future__ import annotations

from dataclasses import dataclass

from inference.domain.errors import WorkerLost
from inference.domain.render import Stage
from inference.workers.protocol import Done, Failed, Message, ProgressMessage, Stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """Time limits of a worker in seconds."""

    hello_seconds: float = 60.0
    """Time from the start to hello; importing torch from a cold disk is slow."""
    heartbeat_seconds: float = 1.0
    heartbeat_limit_seconds: float = 20.0
    """Time without any message after which the process counts as hung."""
    load_limit_seconds: float = 1800.0
    """Time without progress while weights are loaded."""
    step_limit_seconds: float = 300.0
    """Time without progress in rendering or finishing."""
    cancel_grace_seconds: float = 30.0
    """Time from the cancellation of a `render` call to the kill; `cancel` by id never kills."""
    shutdown_grace_seconds: float = 10.0
    restart_min_seconds: float = 0.1
    """Backoff before the first restart, doubled until a job succeeds."""
    restart_max_seconds: float = 30.0


class Watchdog:
    """Detects a hung worker by the time between its messages.

    It has no clock: the caller passes the time that it has listened, so that a blocked caller does
    not count as a silent worker.
    """

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._silent_seconds = 0.0
        self._idle_seconds = 0.0
        self._progress_limit_seconds: float | None = None

    def start(self) -> None:
        """Record that a job was sent, after which progress is expected."""
        self._idle_seconds = 0.0
        self._progress_limit_seconds = self._limits.load_limit_seconds

    def heard(self, message: Message) -> None:
        """Record a message of the worker."""
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

    def add_seconds(self, seconds: float) -> None:
        """Add time spent listening.

        Raises:
            WorkerLost: `worker.hung`, with the exceeded limit.
        """
        self._silent_seconds += seconds
        self._idle_seconds += seconds
        limits = self._limits
        if self._silent_seconds > limits.heartbeat_limit_seconds:
            raise WorkerLost("worker.hung", silent_seconds=limits.heartbeat_limit_seconds)
        allowed = self._progress_limit_seconds
        if allowed is not None and self._idle_seconds > allowed:
            raise WorkerLost("worker.hung", idle_seconds=allowed)
