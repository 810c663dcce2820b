"""Errors about the package torchvision, which some image processors need.

Only one release of it matches a release of torch, and any other breaks every import of diffusers.
So it is not a dependency, and these errors name the release to install.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.weights.folder import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "torchvision"
_MINOR_APART = 15
"""Difference of minor versions: torch 2.13 needs torchvision 0.28, torch 2.9 needs 0.24."""


def torchvision_error(error: BaseException, name: str) -> FolderError | None:
    """Return an error with the release to install if torchvision is missing or wrong, else None.

    Args:
        error: Error of an import, or of a class that needs torchvision.
        name: Name of the part that was loaded.
    """
    if not any(_NAME in str(one).lower() for one in _chain(error)):
        return None
    torch = version("torch").partition("+")[0]
    major, minor, *_ = torch.split(".")
    wanted = f"0.{int(minor) + _MINOR_APART}.*" if major == "2" else "0.*"
    return FolderError("folder.no_torchvision", name=name, torch=torch, version=wanted)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__
