"""Headers of weight files: names, shapes and types of tensors. No torch.

A safetensors file has eight bytes with the length of the header (little endian), the header as
JSON, and the data: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

_LENGTH_BYTES = 8
_MOST_BYTES = 100_000_000
"""Largest header, as in the safetensors library."""


_BITS = MappingProxyType(
    {
        "BOOL": 8,
        "F4": 4,
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        **dict.fromkeys(("U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
        **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
        **dict.fromkeys(("U32", "I32", "F32"), 32),
        **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    }
)
"""Bits of a value, by the name of its type."""

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


_Count = Annotated[int, Field(ge=0, strict=True)]


class _Entry(BaseModel):
    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def read_header(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        HeaderError: It is not a safetensors file, or it is truncated, or its tensors are not one
            after the other.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > min(_MOST_BYTES, size - _LENGTH_BYTES):
            raise HeaderError("the file is shorter than its header")
        entries = _parse(file.read(length))
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.data_offsets):
        if entry.data_offsets != (end, end + _size(entry)):
            raise HeaderError("the tensors overlap, or have a gap between them")
        end = entry.data_offsets[1]
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


def _size(entry: _Entry) -> int:
    """Return the bytes of a tensor.

    Raises:
        HeaderError: Its type is not known.
    """
    bits = _BITS.get(entry.dtype)
    if bits is None:
        raise HeaderError("the type of a tensor is not known")
    return math.prod(entry.shape) * bits // 8


def _parse(data: bytes) -> dict[str, _Entry]:
    try:
        header: Any = json.loads(data)
        if isinstance(header, dict):
            header.pop("__metadata__", None)
        return _ENTRIES.validate_python(header)
    except (ValueError, RecursionError, ValidationError) as error:
        raise HeaderError("the header is damaged") from error
