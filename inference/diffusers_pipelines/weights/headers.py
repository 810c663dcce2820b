"""Headers of weight files: names, shapes and types of tensors. No torch.

A safetensors file has eight bytes with the length of the header (little endian), the header as
JSON, and the data: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

_LENGTH_BYTES = 8
_MOST_BYTES = 100_000_000
"""Largest header, as in the safetensors library."""


GGUF_MAGIC = b"GGUF"
"""First bytes of a GGUF file."""


class HeaderError(ValueError):
    """A file is not a complete safetensors or GGUF file."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Type and shape of a tensor in a file."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class _Entry(BaseModel):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def read_header(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        HeaderError: It is not a safetensors file, or it is truncated.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > min(_MOST_BYTES, size - _LENGTH_BYTES):
            raise HeaderError("the file is shorter than its header")
        entries = _parse(file.read(length))
    end = max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if size != _LENGTH_BYTES + length + end:
        raise HeaderError(f"{size} bytes instead of {_LENGTH_BYTES + length + end}")
    return {name: Tensor(entry.dtype, entry.shape) for name, entry in entries.items()}


def read_gguf(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a GGUF file by name. Needs the package gguf.

    Raises:
        HeaderError: It is not a GGUF file, or it is truncated.
        ImportError: The package gguf is not installed.
        OSError: It cannot be read.
    """
    gguf = import_module("gguf")
    try:
        tensors = gguf.GGUFReader(path).tensors
        return {
            one.name: Tensor(one.tensor_type.name, tuple(int(size) for size in reversed(one.shape)))
            for one in tensors
        }
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise HeaderError("no whole GGUF file") from error


def _parse(data: bytes) -> dict[str, _Entry]:
    try:
        header: Any = json.loads(data)
        if isinstance(header, dict):
            header.pop("__metadata__", None)
        return _ENTRIES.validate_python(header)
    except (ValueError, RecursionError, ValidationError) as error:
        raise HeaderError("the header is damaged") from error
