"""Comparison of the tensors in a part's files with those of its network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import transformers
from torch import nn

from inference.diffusers_pipelines.weights.folder import FolderError, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.diffusers_pipelines.weights.headers import Tensor

_FLOATS = ("F", "BF")
"""Prefixes of the names of floating-point types in files."""
_PIECE = re.compile(r"_(weight|bias)_\w+")
"""Last words of the names of a quantized tensor's pieces."""
_LAYER = re.compile(r"(?P<list>(?:\w+\.)*?)(?P<layer>\w+\.\d+\..+)")
"""Name of a tensor in a list of layers: where the list is, its own name, and what is in it."""
_FEW = 3
"""Most names of tensors in an error."""


def compare_tensors(part: Part, model: nn.Module) -> None:
    """Compare the tensors in a part's files with those of its network on the meta device.

    Networks of transformers may have other names in files than in memory, so only their size, their
    lists of layers and the shapes of tensors with the same name are compared.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`.
    """
    wanted = _by_tensor(model)
    if isinstance(model, transformers.PreTrainedModel):
        if wrong := [*_misshapen(part, wanted), *_missing_layers(part, wanted)]:
            raise mismatch_error(part, wrong)
        numbers = sum(one.numbers for one in wanted)
        if part.numbers < numbers and not part.is_compressed:
            raise FolderError(
                "folder.mismatch", part=part.name, tensors=f"{numbers - part.numbers} numbers"
            )
        extra = list(_extra_layers(part, model))
    elif part.is_compressed:
        _compare_compressed(part, wanted)
        return
    else:
        tensors = part.tensors
        wrong = [
            one.names[0]
            for one in wanted
            if not any(one.is_like(tensors.get(name)) for name in one.names)
        ]
        if wrong:
            raise mismatch_error(part, wrong)
        extra = list(_extra_tensors(part, model, wanted))
    if extra:
        raise FolderError("folder.extra_tensors", part=part.name, tensors=_format_names(extra))


def _misshapen(part: Part, wanted: list[_Wanted]) -> Iterator[str]:
    """Yield the tensors that have another shape in the files; quantized ones always have."""
    if part.is_compressed:
        return
    for one in wanted:
        found = [part.tensors[name].shape for name in one.names if name in part.tensors]
        if found and one.shape not in found:
            yield one.names[0]


def _missing_layers(part: Part, wanted: list[_Wanted]) -> Iterator[str]:
    """Yield the tensors in lists of layers that the files lack.

    A list may be elsewhere in the files, so that only its last name counts then; lists of which
    they have less than half have other names there.
    """
    stored = {parent for name in part.tensors for parent in _parents(name)}
    anywhere = {found["layer"] for name in stored if (found := _LAYER.fullmatch(name))}
    lists: dict[str, dict[str, bool]] = {}
    for name in (name for one in wanted for name in one.names):
        if found := _LAYER.fullmatch(name):
            own = found["list"] + found["layer"].partition(".")[0]
            there = name in stored if own in stored else found["layer"] in anywhere
            lists.setdefault(own, {})[name] = there
    for found_of in lists.values():
        if 2 * sum(found_of.values()) >= len(found_of):
            yield from (name for name, there in found_of.items() if not there)


def _compare_compressed(part: Part, wanted: list[_Wanted]) -> None:
    """Compare the names of quantized tensors, which have other shapes and others beside them.

    Raises:
        FolderError: `folder.mismatch`, `folder.extra_tensors`.
    """
    stored = {parent for name in part.tensors for parent in _parents(name)}
    if wrong := [one.names[0] for one in wanted if not stored.intersection(one.names)]:
        raise mismatch_error(part, wrong)
    names = {name for one in wanted for name in one.names}
    known = names | {name.rpartition(".")[0] for name in names}
    extra = [name for name in part.tensors if not known.intersection(_parents(name))]
    if extra:
        raise FolderError("folder.extra_tensors", part=part.name, tensors=_format_names(extra))


def _parents(name: str) -> Iterator[str]:
    """Yield a name, what stands before each of its dots, and the tensor that it is a piece of.

    torchao stores the pieces of `to_q.weight` as `to_q._weight_qdata` and `to_q._weight_scale`.
    """
    yield name
    place, _, last = name.rpartition(".")
    if piece := _PIECE.fullmatch(last):
        yield f"{place}.{piece[1]}" if place else piece[1]
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def mismatch_error(part: Part, names: list[str]) -> FolderError:
    """Return the error for tensors that are missing or of another shape."""
    return FolderError("folder.mismatch", part=part.name, tensors=_format_names(names))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tensor of a network; tied ones have several names."""

    shape: tuple[int, ...]
    numbers: int
    is_float: bool
    names: list[str] = field(default_factory=list)

    def is_like(self, tensor: Tensor | None) -> bool:
        """Return whether a tensor of a file can be its value."""
        if tensor is None or tensor.shape != self.shape:
            return False
        return tensor.dtype.startswith(_FLOATS) or not self.is_float


def _by_tensor(model: nn.Module) -> list[_Wanted]:
    found: dict[int, _Wanted] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        made = _Wanted(tuple(tensor.shape), tensor.numel(), tensor.is_floating_point())
        found.setdefault(id(tensor), made).names.append(name)
    return list(found.values())


def _extra_tensors(part: Part, model: Any, wanted: list[_Wanted]) -> Iterator[str]:
    """Yield the tensors of files that a network of diffusers would leave out without a word.

    Older versions of a class may have saved buffers that the present one computes, and classes name
    what else their files may hold.
    """
    known = {name for one in wanted for name in one.names}
    known |= {name for name, _ in model.named_buffers()}
    ignored = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    for name in part.tensors:
        if name not in known and not any(re.search(pattern, name) for pattern in ignored):
            yield name


def _extra_layers(part: Part, model: nn.Module) -> Iterator[str]:
    """Yield the tensors of files for which a network's lists of layers are too short."""
    for list_name, layers in model.named_modules():
        if not isinstance(layers, nn.ModuleList):
            continue
        member = re.compile(rf"{re.escape(list_name)}\.(\d+)\.")
        for name in part.tensors:
            if (found := member.match(name)) and int(found[1]) >= len(layers):
                yield name


def _format_names(names: list[str]) -> str:
    more = f" (+{len(names) - _FEW})" if len(names) > _FEW else ""
    return ", ".join(sorted(names)[:_FEW]) + more
