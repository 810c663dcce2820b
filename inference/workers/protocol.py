"""Messages between a child process and its parent, over any byte stream.

A frame is four bytes of length (big endian) and a JSON object whose `type` names one of the
messages below. Both ends use the same `encode` and `Decoder`, which do no I/O themselves.

parent -> child   Run, Cancel, Shutdown, Call
child -> parent   Hello, Heartbeat, ProgressMessage, Done, Failed, Stopped, Returned
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from inference.domain.errors import EngineError, RushesError, UserError, WorkerLost
from inference.domain.render import Manifest, Progress
from inference.workers.slot import RenderTask

MAX_FRAME_BYTES = 4 * 1024 * 1024
"""Largest frame, far above valid messages; a longer one means a corrupt stream."""

_LENGTH = struct.Struct("!I")


class ProtocolError(WorkerLost):
    """The other end sent an invalid message; the connection must be closed."""

    def __init__(self, reason: str) -> None:
        super().__init__("worker.protocol", reason=reason)


class ErrorKind(StrEnum):
    """Class of a failure in the error tree."""

    USER = "user"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Render a task; answered by exactly one of `Done`, `Failed` and `Stopped`."""

    type: Literal["run"] = "run"
    task: RenderTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop a job at its next step. Unknown and finished jobs are ignored."""

    type: Literal["cancel"] = "cancel"
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """Cancel the running job, then exit."""

    type: Literal["shutdown"] = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCall:
    """Run one operation of a media process; answered by `Returned` or `Failed`."""

    type: Literal["call"] = "call"
    operation: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The child is ready: the first message of every child."""

    type: Literal["hello"] = "hello"
    device: str
    """Name of the device, shown to people: "NVIDIA H100 80GB HBM3", "cpu"."""
    memory_bytes: int
    """Memory of the device."""
    problem: str | None = None
    """Catalog code of the reason for no GPU, if known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The child is alive."""

    type: Literal["heartbeat"] = "heartbeat"
    warm_model: str | None
    """Name of the model whose weights are loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMessage:
    """Progress of the running job."""

    type: Literal["progress"] = "progress"
    job_id: str
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The job's file is complete on disk."""

    type: Literal["done"] = "done"
    job_id: str
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job or call failed; the child continues."""

    type: Literal["failed"] = "failed"
    job_id: str | None
    """None if a `MediaCall` failed."""
    kind: ErrorKind
    code: str
    params: dict[str, Any]
    transient: bool

    @classmethod
    def of(cls, error: RushesError, job_id: str | None = None) -> Self:
        """Create the message for an error; parameters that are not JSON become text."""
        return cls(
            job_id=job_id,
            kind=ErrorKind.USER if isinstance(error, UserError) else ErrorKind.ENGINE,
            code=error.code,
            params=json.loads(json.dumps(error.params, default=str)),
            transient=getattr(error, "transient", False),
        )

    def error(self) -> UserError | EngineError:
        """Rebuild the error on the parent's side."""
        error: UserError | EngineError
        if self.kind is ErrorKind.USER:
            error = UserError(self.code)
        else:
            error = EngineError(self.code, transient=self.transient)
        error.params = self.params
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The job was cancelled; no further message about it follows."""

    type: Literal["stopped"] = "stopped"
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A `MediaCall` succeeded."""

    type: Literal["returned"] = "returned"
    result: dict[str, Any]


Message = (
    Run
    | Cancel
    | Shutdown
    | MediaCall
    | Hello
    | Heartbeat
    | ProgressMessage
    | Done
    | Failed
    | Stopped
    | Returned
)

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def encode(message: Message) -> bytes:
    """Encode a message as one frame.

    Raises:
        ProtocolError: The message exceeds `MAX_FRAME_BYTES`.
    """
    body = json.dumps(asdict(message), default=_plain, allow_nan=False).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Incremental decoder from a byte stream to messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Add received bytes and return the messages that they complete, in order.

        Raises:
            ProtocolError: The stream is corrupt; the decoder must not be used again.
        """
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


def _decode(body: bytes) -> Message:
    try:
        return _MESSAGES.validate_json(body, strict=True, extra="forbid")
    except ValidationError as error:
        # Paths that are not UTF-8 have lone surrogates, which pydantic does not accept in JSON.
        if b"\\ud" not in body:
            raise _no_message(error) from None
    try:
        return _MESSAGES.validate_python(json.loads(body), extra="forbid")
    except (ValueError, RecursionError) as error:
        raise _no_message(error) from None


def _no_message(error: Exception) -> ProtocolError:
    # Without the content, which may contain a prompt.
    return ProtocolError(f"not a message: {type(error).__name__}")


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())  # the other process has another working folder
    raise TypeError(type(value))
