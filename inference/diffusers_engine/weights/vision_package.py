"""The package torchvision: some processors need it, and only one release matches a torch.

One that does not match breaks every import of diffusers, so it is no dependency of ours.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from inference.diffusers_engine.weights.folder import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "torchvision"
_MINOR_APART = 15
"""torch 2.13 belongs to torchvision 0.28, 2.9 to 0.24, and so on."""


def torchvision_error(error: BaseException, name: str) -> FolderError | None:
    """Return what to install where torchvision is missing or does not match, else None.

    Args:
        error: Of an import, or of a class that needs it.
        name: Of what was to be loaded.
    """
    if not any(_NAME in str(one).lower() for one in _chain(error)):
        return None
    torch = version("torch").partition("+")[0]
    major, minor, *_ = torch.split(".")
    wanted = f"0.{int(minor) + _MINOR_APART}.*" if major == "2" else "0.*"
    return FolderError("folder.no_torchvision", name=name, torch=torch, version=wanted)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__
