"""Bounds for the numbers in a folder's configs, far above those of real models. No torch.

Classes of diffusers check few of them: a huge one takes hours or fills the memory while the class
is built, and a rate of zero fails only after the last step of a clip.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from inference.diffusers_pipelines.weights.folder import value_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.diffusers_pipelines.weights.folder import Folder, Part

_MOST = 10**6
"""Bound of all numbers in a config of diffusers; the largest of real models is a rate of sound."""
_LONGEST = 10**4
"""Most members of a list; the longest of real models has a number per channel of latents."""
_FACTORS_MOST = 10**4
"""Most samples of sound per step of a spectrogram."""
_COUNTS = re.compile(r"(sampl(e|ing)_rate|hop_length|num_train_timesteps)$")
"""Keys of values that are whole numbers above zero."""
_HEADS = re.compile(r"num_(\w+_)?heads$")
_FACTORS = re.compile("upsample_(factors|rates)$")
_LAYERS = re.compile(r"(num_\w*layers|layers_per_block|num_res_blocks)$")
_INFINITE = frozenset({math.inf, -math.inf})
_MOST_ORDER = 3
"""Highest order of a solver."""


def check_bounds(folder: Folder) -> None:
    """Check the numbers in the configs of all parts against the bounds for diffusers' classes.

    Raises:
        FolderError: `folder.bad_value`.
    """
    for part in folder.parts.values():
        for key, value in part.config.items():
            # Schedulers have infinite bounds.
            bounds = _INFINITE if "Scheduler" in part.class_name else frozenset()
            if _HEADS.search(key) and not (value is None or _is_count(value)):
                raise value_error(part.config_file, key, value)
            if any(not math.isfinite(one) and one not in bounds for one in _numbers(value)):
                raise value_error(part.config_file, key, value)
        if part.name.startswith("tokenizer"):
            _check_tokenizer(part)
        if part.library != "transformers":
            for key, value in part.config.items():
                if not _is_possible(key, value):
                    raise value_error(part.config_file, key, value)


def _check_tokenizer(part: Part) -> None:
    """Check what a tokenizer would use only with a prompt.

    Raises:
        FolderError: `folder.bad_value`.
    """
    for key, value in part.config.items():
        wrong = (key.endswith("_token") and not isinstance(value, str | dict | bool | None)) or (
            key == "model_max_length" and not (value is None or (is_number(value) and value > 0))
        )
        if wrong:
            raise value_error(part.config_file, key, value)


def check_layers(part: Part) -> None:
    """Check that a config has no more layers than its files have tensors: too slow to build.

    Raises:
        FolderError: `folder.bad_value`.
    """
    for key, value in part.config.items():
        if _LAYERS.search(key) and any(one > len(part.tensors) for one in _numbers(value)):
            raise value_error(part.config_file, key, value)


def _is_possible(key: str, value: Any) -> bool:
    if _COUNTS.search(key) and not _is_count(value):
        return False
    if key == "solver_order" and not (_is_count(value) and value <= _MOST_ORDER):
        return False
    numbers = list(_numbers(value))
    if _FACTORS.search(key) and not (
        numbers and all(map(_is_count, numbers)) and math.prod(numbers) <= _FACTORS_MOST
    ):
        return False
    return len(numbers) <= _LONGEST and all(
        abs(one) <= _MOST or (isinstance(one, float) and not math.isfinite(one)) for one in numbers
    )


def _is_count(value: Any) -> bool:
    return is_whole(value) and 0 < value <= _MOST


def _numbers(value: Any) -> Iterator[int | float]:
    """Yield the numbers in a value and in its lists and objects."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, list | tuple):
            pending.extend(one)
        elif isinstance(one, dict):
            pending.extend(one.values())
        elif is_number(one):
            yield one


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value of a config is a number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value of a config is a whole number; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)
