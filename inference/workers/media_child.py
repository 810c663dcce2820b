"""The media process, `python -m inference.workers.media_child`: opens files of strangers.

It has limits on memory and on the size of files, no core dumps, and low priority; the parent
watches the time. An input that breaks it breaks nothing else.
"""

from __future__ import annotations

import os
import queue
import resource
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.engines.device import cpu
from inference.errors import RushesError
from inference.media.facts import STILL, ImageLimits
from inference.media.intake import clean_image
from inference.media.ladder import fit_rung, fit_still
from inference.media.poster import write_poster
from inference.media.stills import write_stills
from inference.safety.classifier import rate
from inference.workers.link import Link
from inference.workers.protocol import Call, Failed, Hello, Message, Returned

if TYPE_CHECKING:
    from collections.abc import Callable

_NICENESS = 10


def _clean_image(source: str, target: str) -> dict[str, Any]:
    return asdict(clean_image(Path(source), Path(target), ImageLimits()))


def _fit(source: str, limit: int, directory: str, rung: int) -> dict[str, Any]:
    arguments = (Path(source), limit, Path(directory))
    fitted = fit_rung(*arguments, rung) if rung < STILL else fit_still(*arguments)
    return {} if fitted is None else asdict(fitted) | {"path": str(fitted.path)}


def _poster(clip: str, target: str, max_side: int) -> dict[str, Any]:
    write_poster(Path(clip), Path(target), max_side)
    return {}


def _stills(file: str, directory: str) -> dict[str, Any]:
    return {"stills": [str(path) for path in write_stills(Path(file), Path(directory))]}


def _rate(pictures: list[str], model: str) -> dict[str, Any]:
    return {"scores": rate([Path(path) for path in pictures], Path(model))}


_OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "clean_image": _clean_image,
    "fit": _fit,
    "poster": _poster,
    "stills": _stills,
    "rate": _rate,
}


def _answer(call: Call) -> Message:
    try:
        return Returned(result=_OPERATIONS[call.operation](**call.arguments))
    except RushesError as error:
        return Failed.of(error)


def _confine(config: dict[str, int]) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, config["memory_bytes"]),
        (resource.RLIMIT_FSIZE, config["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    os.nice(_NICENESS)


def main() -> None:
    """Answer one call after the other until the parent is gone.

    Anything but an error of our own ends the process: after that its state is not to be trusted.
    """
    link, config = Link.from_arguments()
    _confine(config)
    calls: queue.Queue[Call] = queue.Queue()

    def on_message(message: Message) -> None:
        if isinstance(message, Call):
            calls.put(message)

    link.listen(on_message)
    device = cpu()
    link.send(
        Hello(device=device.name, memory_bytes=device.memory_bytes, pid=os.getpid(), models=())
    )
    while True:
        link.send(_answer(calls.get()))


if __name__ == "__main__":
    main()
