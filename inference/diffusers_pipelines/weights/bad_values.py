"""Config values that no class can work with, to name the one at fault when something failed.

Classes of diffusers and transformers validate few values: zero, null or a string for a number often
fails only in the first clip, deep inside torch. Defaults tell what a value should be like.
"""

from __future__ import annotations

import inspect
import math
import re
from typing import TYPE_CHECKING, Any

from inference.diffusers_pipelines.weights.bounds import is_number
from inference.diffusers_pipelines.weights.folder import value_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inference.diffusers_pipelines.weights.folder import FolderError, Part

HUGE = 10**9
"""Beyond any number in the config of a network but of layers; tables of that size fill memory."""

_UNUSED = frozenset({"projection_dim"})
"""Numbers that no encoder of a video pipeline uses; CLIP's files have zero there."""


def bad_value(part: Part, kind: Any) -> FolderError | None:
    """Return the error for the first value of a part's config that cannot be, if there is one."""
    if not (part.is_network or "Scheduler" in part.class_name):
        return None  # tokenizers and processors hold any number, and never fail of one
    optional = _optional(kind)
    for name, usual in defaults(kind):
        if name.endswith("_id") or name in _UNUSED:  # zero is a token too
            continue
        if part.config.get(name) is None and name in optional:
            continue
        if name in part.config and _cannot_be(part.config[name], usual):
            return _error(part, name)
    return None


def huge_value(part: Part, kind: Any) -> FolderError | None:
    """Return the error for a number that would fill memory before it fails, if there is one."""
    for name, usual in defaults(kind):
        given = part.config.get(name)
        if is_number(given) and is_number(usual) and abs(given) >= HUGE > abs(usual):
            return _error(part, name)
    return None


def _error(part: Part, name: str) -> FolderError:
    return value_error(part.config_file, name, part.config[name])


def defaults(kind: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values of a class's config and their defaults."""
    configured = getattr(kind, "config_class", None)
    if configured is not None:
        yield from vars(configured()).items()
        return
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if parameter.default is not parameter.empty:
            yield name, parameter.default


def _optional(kind: Any) -> frozenset[str]:
    """Return the parameters that may be null, by the annotations of a class."""
    parameters = inspect.signature(kind.__init__).parameters.items()
    return frozenset(
        name
        for name, parameter in parameters
        if re.search("None|Optional", str(parameter.annotation))
    )


def _cannot_be(given: Any, usual: Any) -> bool:
    """Return whether a value is of another kind than the default, or has no size at all."""
    if isinstance(usual, bool):
        return not isinstance(given, bool)
    if given == usual and not isinstance(given, bool):  # some defaults are zero, or infinite
        return False
    if is_number(usual):
        members = given if isinstance(given, list | tuple) and given else [given]
        return any(_is_no(one, usual) for one in members)
    if isinstance(usual, list | tuple) and usual and all(map(is_number, usual)):
        if not isinstance(given, list | tuple) or not given:
            return True
        return any(_is_no(one, min(usual)) for one in given)
    return usual is None and is_number(given) and given <= 0


def _is_no(given: Any, usual: float) -> bool:
    """Return whether a value is no number, or not one where the default has a size."""
    if not is_number(given) or not math.isfinite(given):
        return True
    return usual > 0 and (given <= 0 or given >= HUGE > usual)


def first_bad_value(parts: Mapping[str, Part], kinds: Mapping[str, Any]) -> FolderError | None:
    """Return the error for the first value that cannot be, in any part; networks come first."""
    ordered = sorted(kinds, key=lambda name: (not parts[name].is_network, name))
    found = (bad_value(parts[name], kinds[name]) for name in ordered)
    return next((error for error in found if error is not None), None)
