"""Variants of weights: the same tensors in another precision, such as `model.fp16.safetensors`.

Both libraries put the name of a variant before the last ending of weight files and indexes.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORDER = ("bf16", "fp16", "fp32")
"""Known variants, the best one first."""
_STEM = "(?:diffusion_pytorch_model|model)"
_SHARD = r"-\d+-of-\d+"
_PLAIN = re.compile(rf"{_STEM}({_SHARD})?\.safetensors")
_VARIANT = re.compile(
    rf"{_STEM}(?:\.safetensors\.index\.(?P<index>\w+)\.json"
    rf"|\.(?P<file>\w+)(?:{_SHARD})?\.safetensors|{_SHARD}\.(?P<old>\w+)\.safetensors)"
)


def variant_of(name: str) -> str | None:
    """Return the variant that a file name has; None if it has none, or is no weight file."""
    found = _VARIANT.fullmatch(name)
    return None if found is None else found["index"] or found["file"] or found["old"]


def best_variants(names: Iterable[str]) -> list[str]:
    """Return the variants among the file names of a part, the best one first."""
    found = {variant for variant in map(variant_of, names) if variant is not None}
    return sorted(found, key=lambda one: (_ORDER.index(one) if one in _ORDER else 9, one))


def twins(paths: Iterable[str]) -> frozenset[str]:
    """Return the weight files that another set of files of the same part makes needless.

    Loading takes the files without a variant, or those of the best one.
    """
    parts: dict[str, dict[str, str]] = {}
    for path in paths:
        place = PurePosixPath(path)
        parts.setdefault(str(place.parent), {})[place.name] = path
    needless: set[str] = set()
    for files in parts.values():
        kept = None if any(map(_PLAIN.fullmatch, files)) else next(iter(best_variants(files)), None)
        needless |= {path for name, path in files.items() if variant_of(name) not in {None, kept}}
    return frozenset(needless)
