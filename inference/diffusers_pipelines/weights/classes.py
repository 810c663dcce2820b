"""Classes of parts in diffusers and transformers, imported when they are needed. No torch.

Some image processors need torchvision. Only one release of it matches a release of torch, and any
other breaks every import of diffusers: it is not a dependency, and errors name the release.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.folder import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.diffusers_pipelines.weights.folder import Part

_LIBRARIES = frozenset({"accelerate", "diffusers", "torch", "transformers"})
_NAME = "torchvision"
_MINOR_APART = 15
"""Difference of minor versions: torch 2.13 needs torchvision 0.28, torch 2.9 needs 0.24."""


def find_class(part: Part) -> Any:
    """Return the class of a part.

    Raises:
        FolderError: `folder.unknown_class`, `folder.no_torchvision`.
    """
    if part.library in {"diffusers", "transformers"}:
        module: Any = importlib.import_module(part.library)
    else:
        module = importlib.import_module(f"diffusers.pipelines.{part.library}")
    try:
        found = getattr(module, part.class_name)
    except (AttributeError, ImportError, RuntimeError) as error:
        name = part.class_name
        unknown = FolderError("folder.unknown_class", name=name)
        raise package_error(error, name) or unknown from error
    return found


def silence() -> None:
    """Disable progress bars and warnings of the libraries, which may quote prompts."""
    for name in ("diffusers", "transformers", "accelerate", "peft", "torch"):
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    for name in ("transformers", "diffusers"):
        logging: Any = importlib.import_module(f"{name}.utils.logging")
        logging.disable_progress_bar()
        logging.set_verbosity_error()


def package_error(error: BaseException, name: str) -> FolderError | None:
    """Return an error with what to install if a package is missing or wrong, else None.

    Args:
        error: Error of an import, or of a class that needs torchvision.
        name: Name of the part that was loaded.
    """
    for one in _chain(error):
        if isinstance(one, ModuleNotFoundError) and one.name in _LIBRARIES:
            return FolderError("folder.no_library", package=one.name)
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
