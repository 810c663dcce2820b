"""References: the images, clips and latents that a render starts from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

IMAGE_NAME = "image.png"
"""Artifact name of a prepared reference image."""

LAST_NAME = "last.png"
"""The same of the image that a clip ends with."""


def picture_name(option: str) -> str:
    """Return the artifact name of the prepared picture of an effect's option."""
    return f"effect-{option}.png"


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


class Kept(StrEnum):
    """A kept file of a job that another one starts from."""

    RESULT = "result"
    """The still that it made."""
    FIRST_FRAME = "first_frame"
    """The first frame of the clip that it made."""
    LATENTS = "latents"
    """What was kept of the clip that it made, to go on from."""
    INPUT = "input"
    """What it started from itself, in the same member of its spec."""


@dataclass(frozen=True, slots=True)
class Attached:
    """An attached image; its chat fetches it while the job is prepared."""

    url: str
    """How the chat finds it: a URL, the id of a file, or in a terminal a path."""


@dataclass(frozen=True, slots=True)
class FromParent:
    """A file of the job's parent; copied while the job is prepared."""

    kind: Kept

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kept(self.kind))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A clean file in the job's own folder."""

    name: str
    """Artifact name."""

    def __post_init__(self) -> None:
        if not _PLAIN_NAME.fullmatch(self.name):  # it names a file
            raise ValueError("not the name of an artifact")


Reference = Attached | FromParent | Prepared


def inherit_reference(reference: Reference | None) -> Reference | None:
    """Return the reference for a repeat of a job: a prepared file becomes one of its parent."""
    return FromParent(Kept.INPUT) if isinstance(reference, Prepared) else reference


def read_reference(data: Mapping[str, str] | str | None) -> Reference | None:
    """Return a reference from its JSON form, the members of its dataclass.

    Version 0.1 had texts: a URL or path, a name of an artifact, or what is kept of the parent.

    Raises:
        ValueError: It is none.
    """
    found: Reference | None
    match data:
        case None:
            found = None
        case {"url": str(url)}:
            found = Attached(url)
        case {"kind": str(kind)}:
            found = FromParent(Kept(kind))
        case {"name": str(name)}:
            found = Prepared(name)
        case "parent:result" | "parent:latents":
            found = FromParent(Kept(data.removeprefix("parent:")))
        case "image.png" | "last.png" | "latents.bin":
            found = Prepared(data)
        case str():
            found = Attached(data)
        case _:
            raise ValueError("not a reference")
    return found
