"""The media process, `python -m inference.workers.media.child`: opens untrusted files.

It has limits on memory and file size, no core dumps, no network and low priority; the parent
enforces time limits, except that of an image's CPU time. Each call runs in a forked process that
can access the files of that call only, so that a malicious file cannot affect anything else.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from PIL import Image

from inference.bug_report import log_bug
from inference.domain.errors import EngineError, RushesError, UserError
from inference.engines.device import cpu
from inference.media.image_intake import clean_image
from inference.media.results import STILL, ImageLimits
from inference.media.size_reduction import fit_rung, fit_still
from inference.media.stills import write_first_frame, write_sheet, write_stills
from inference.safety import classifier
from inference.workers.link import ParentLink, die_with_parent
from inference.workers.media.sandbox import confine, renounce
from inference.workers.protocol import (
    MAX_FRAME_BYTES,
    Decoder,
    Failed,
    Hello,
    MediaCall,
    Message,
    Returned,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_NICENESS = 10

_log = structlog.get_logger(__name__)

_READ = ("source", "clip", "file", "model")
"""Arguments with the path of a file to read."""
_WRITTEN_BESIDE = "target"
_WRITTEN_INSIDE = "directory"


def _clean_image(source: str, target: str) -> dict[str, Any]:
    return asdict(clean_image(Path(source), Path(target), ImageLimits()))


def _fit(source: str, limit: int, directory: str, rung: int) -> dict[str, Any]:
    arguments = (Path(source), limit, Path(directory))
    fitted = fit_rung(*arguments, rung) if rung < STILL else fit_still(*arguments)
    return {} if fitted is None else asdict(fitted) | {"path": str(fitted.path)}


def _stills(file: str, directory: str) -> dict[str, Any]:
    return {"stills": [str(path) for path in write_stills(Path(file), Path(directory))]}


def _sheet(file: str, directory: str, name: str) -> dict[str, Any]:
    return {"sheet": str(write_sheet(Path(file), Path(directory), name))}


def _first_frame(source: str, target: str) -> dict[str, Any]:
    write_first_frame(Path(source), Path(target))
    return {}


def _rate(pictures: list[str], model: str) -> dict[str, Any]:
    return {"scores": classifier.rate([Path(path) for path in pictures], Path(model))}


_OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "clean_image": _clean_image,
    "first_frame": _first_frame,
    "fit": _fit,
    "stills": _stills,
    "sheet": _sheet,
    "rate": _rate,
}


def _answer(call: MediaCall) -> Message:
    try:
        _confine(call)
        return Returned(result=_OPERATIONS[call.operation](**call.arguments))
    except RushesError as error:
        return Failed.of(error)
    except FileNotFoundError:  # deleted meanwhile, with its job
        return Failed.of(EngineError("file.unreadable", path=""))


def _limit(config: dict[str, int]) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, config["memory_bytes"]),
        (resource.RLIMIT_FSIZE, config["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    os.nice(_NICENESS)


def _limit_cpu(call: MediaCall, config: dict[str, int]) -> None:
    """Limit the CPU time of the fork that decodes an untrusted image."""
    if call.operation == "clean_image":
        seconds = config["image_cpu_seconds"]
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _confine(call: MediaCall) -> None:
    """Restrict this process to the files of a call.

    Raises:
        UserError: `image.not_an_image`: the image is a symbolic link.
        EngineError: `file.unreadable`: another file is a symbolic link.
    """
    given = call.arguments
    readable = [Path(given[name]) for name in _READ if name in given]
    readable += map(Path, given.get("pictures", ()))
    if any(path.is_symlink() for path in readable):
        if call.operation == "clean_image":
            raise UserError("image.not_an_image")
        raise EngineError("file.unreadable", path="")
    writable = []
    if _WRITTEN_BESIDE in given:
        writable.append(Path(given[_WRITTEN_BESIDE]).parent)
    if _WRITTEN_INSIDE in given:
        directory = Path(given[_WRITTEN_INSIDE])
        directory.mkdir(exist_ok=True)
        writable.append(directory)
    confine(readable=readable, writable=writable)


def _serve(call: MediaCall, answer: int, config: dict[str, int]) -> NoReturn:
    """Handle a call in a forked process: write the answer to a pipe and exit."""
    status = 1
    try:
        die_with_parent()
        _limit_cpu(call, config)
        with os.fdopen(answer, "wb") as pipe:
            pipe.write(encode(_answer(call)))
        status = 0
    except BaseException as error:  # noqa: BLE001 - the process exits in any case
        log_bug(_log, "media.bug", error, operation=call.operation)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _answer_in_fork(call: MediaCall, link: ParentLink, config: dict[str, int]) -> bool:
    """Handle a call in a fork and send its answer; returns False if the fork died without one."""
    if call.operation == "rate":
        classifier.load(Path(call.arguments["model"]))  # once, shared by all later forks
    if sys.platform != "linux":  # elsewhere forking is unsafe, and there is no sandbox
        link.send(_answer(call))
        return True
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        link.close()
        os.close(reader)
        _serve(call, writer, config)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        frame = pipe.read(MAX_FRAME_BYTES)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        return False
    # Accept one well-formed answer only: a compromised fork must not answer later calls.
    (answer,) = Decoder().feed(frame)
    link.send(answer)
    return True


def main() -> None:
    """Handle one call at a time until the parent closes the channel.

    If a call's fork dies without an answer, this process exits too, and the parent starts another.
    """
    link, config = ParentLink.from_arguments()
    _limit(config)
    Image.init()  # imports all readers, which the sandbox may hide later
    renounce()
    calls: queue.Queue[MediaCall] = queue.Queue()

    def on_message(message: Message) -> None:
        if isinstance(message, MediaCall):
            calls.put(message)

    link.listen(on_message)
    device = cpu()
    link.send(Hello(device=device.name, memory_bytes=device.memory_bytes))
    while _answer_in_fork(calls.get(), link, config):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
