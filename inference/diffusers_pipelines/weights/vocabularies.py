"""Comparison of a tokenizer's vocabulary with the embedding of its text encoder. No torch.

Another model's tokenizer loads without an error, and gives token ids of other words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.diffusers_pipelines.weights.folder import FolderError, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.diffusers_pipelines.weights.folder import Folder, Part

_READERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""Text encoders and their tokenizers."""
_LEAST_KNOWN = 0.25
"""Share of the rows of an embedding that have a word: T5's tokenizer has an eighth of UMT5's."""
_MOST_KNOWN = 1.05
"""The same at most: small models of Gemma have no row for the word that stands for pictures."""
_EMBEDDING = re.compile(r"(^|\.)(shared|embed_tokens|token_embedding)\.weight$")
"""Names of the tensors with a row for each token."""
_TWO_AXES = 2
_PIECE = 0x0A
"""Tag of a word in a file of sentencepiece: field 1, with a length."""
_VARINT, _LENGTH, _FIXED_BYTES = 0, 2, {1: 8, 5: 4}
"""Wire types of protocol buffers; the fixed ones with their sizes."""


def check_vocabularies(folder: Folder) -> None:
    """Check that each vocabulary is about as large as its text encoder's embedding.

    Raises:
        FolderError: `folder.wrong_part`, `folder.unreadable`, `folder.no_permission`.
    """
    for encoder, tokenizer in _READERS.items():
        if not (encoder in folder.parts and tokenizer in folder.parts):
            continue
        rows, words = _rows(folder.parts[encoder]), _readable_words(folder.parts[tokenizer])
        if rows is None or words is None:
            continue
        if not rows * _LEAST_KNOWN <= words <= rows * _MOST_KNOWN:
            raise FolderError("folder.wrong_part", part=tokenizer, name=folder.pipeline_class)


def _rows(encoder: Part) -> int | None:
    """Return the rows of an encoder's embedding; None if no tensor has them."""
    shapes = [tensor.shape for name, tensor in encoder.tensors.items() if _EMBEDDING.search(name)]
    return max((shape[0] for shape in shapes if len(shape) == _TWO_AXES), default=None)


def _readable_words(tokenizer: Part) -> int | None:
    """Return the size of a tokenizer's vocabulary, as `_words` does.

    Raises:
        FolderError: `folder.unreadable`, `folder.no_permission`.
    """
    try:
        return _words(tokenizer)
    except OSError as error:
        place = str(error.filename or tokenizer.path)
        raise FolderError("folder.no_permission", path=place) from error


def _words(tokenizer: Part) -> int | None:
    """Return the size of a tokenizer's vocabulary; None without a vocabulary file, as in ByT5."""
    place = tokenizer.path
    for name, count in (("tokenizer.json", _in_tokenizers), ("vocab.json", _in_vocabulary)):
        if (place / name).is_file():
            return count(place / name)
    if (place / "vocab.txt").is_file():
        return len((place / "vocab.txt").read_bytes().splitlines())
    found = sorted(place.glob("*.model"))
    return _in_sentencepiece(found[0]) if found else None


def _in_tokenizers(path: Path) -> int:
    """Return the size of a vocabulary in a file of the library tokenizers.

    Raises:
        FolderError: `folder.unreadable`.
    """
    found = read_json(path)
    model, added = found.get("model"), found.get("added_tokens") or []
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not (isinstance(vocabulary, dict | list) and isinstance(added, list)):
        raise _unreadable(path)
    ids = [one.get("id") for one in added if isinstance(one, dict)]
    return max(len(vocabulary), 1 + max((one for one in ids if isinstance(one, int)), default=0))


def _in_vocabulary(path: Path) -> int:
    """Return the size of a vocabulary with ids, and of the words that were added to it.

    Raises:
        FolderError: `folder.unreadable`.
    """
    added = path.with_name("added_tokens.json")
    return len(read_json(path) | (read_json(added) if added.is_file() else {}))


def _in_sentencepiece(path: Path) -> int:
    """Return the vocabulary size of a sentencepiece file.

    Raises:
        FolderError: `folder.unreadable`.
    """
    try:
        found = sum(tag == _PIECE for tag in _fields(path.read_bytes()))
    except (IndexError, ValueError) as error:
        raise _unreadable(path) from error
    if not found:
        raise _unreadable(path)
    return found


def _fields(data: bytes) -> Iterator[int]:
    """Yield the tags of the outer fields of a protocol buffer.

    Raises:
        IndexError: It is truncated.
        ValueError: It is no protocol buffer.
    """
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        wire = tag & 0x07
        if wire in _FIXED_BYTES:
            place += _FIXED_BYTES[wire]
        elif wire in {_VARINT, _LENGTH}:
            value, place = _number(data, place)
            place += value if wire == _LENGTH else 0
        else:
            raise ValueError(wire)
        if place > len(data):
            raise IndexError(place)
        yield tag


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that more follows
            return value, place


def _unreadable(path: Path) -> FolderError:
    return FolderError("folder.unreadable", file=f"{path.parent.name}/{path.name}")
