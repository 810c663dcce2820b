"""Cache of encoded prompts: the next clip of the same prompt does not need the text encoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MOST_BYTES = 1_000_000_000
"""Of remembered embeddings, in host memory. One prompt of LTX-2 takes up to 400 MB."""

Wrapped = Callable[[Callable[[], Any]], Any]
"""Runs an encoding, such as with the text encoder brought to the device first."""


class PromptMemory:
    """Remembers what prompts were encoded to, the latest used ones, up to `most` bytes."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._known: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def over(self, pipeline: Any, wrapped: Wrapped) -> Iterator[None]:
        """Answer a pipeline's `encode_prompt` from memory where possible.

        Args:
            pipeline: Calls it as `self.encode_prompt`.
            wrapped: Runs an encoding that is not remembered.
        """
        encode = pipeline.encode_prompt
        device: torch.device = pipeline._execution_device  # noqa: SLF001 - as the pipeline itself does

        def remembering(*args: Any, **options: Any) -> Any:
            if any(isinstance(value, Tensor) for value in (*args, *options.values())):
                return encode(*args, **options)
            key = repr((type(pipeline).__name__, args, sorted(options.items())))
            found = self._get(key)
            if found is None:
                found = wrapped(lambda: encode(*args, **options))
                self._put(key, found)
            return _moved(found, device)

        pipeline.encode_prompt = remembering
        try:
            yield
        finally:
            del pipeline.encode_prompt

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def _get(self, key: str) -> Any:
        found = self._known.get(key)
        if found is None:
            return None
        self._known.move_to_end(key)
        return found[0]

    def _put(self, key: str, value: Any) -> None:
        kept = _moved(value, torch.device("cpu"))
        size = _size(kept)
        if size > self._most or not _is_finite(kept):
            return  # what a broken device made would break each later clip of the prompt
        self._known[key] = kept, size
        self._bytes += size
        while self._bytes > self._most:
            _, (_, freed) = self._known.popitem(last=False)
            self._bytes -= freed


def _moved(value: Any, device: torch.device) -> Any:
    """Return embeddings on a device, copied: a pipeline may write into what it gets."""
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, tuple | list):
        return type(value)(_moved(member, device) for member in value)
    return value


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(map(_size, value)) if isinstance(value, tuple | list) else 0


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return all(map(_is_finite, value)) if isinstance(value, tuple | list) else True


def text_encoders(pipeline: Any) -> list[nn.Module]:
    """Return the networks that only encode text."""
    return [
        part
        for name, part in pipeline.components.items()
        if name.startswith("text_encoder") and isinstance(part, nn.Module)
    ]


def is_too_long(pipeline: Any, prompt: str, limit: int | None) -> bool:
    """Return whether the text encoder reads only the beginning of a prompt.

    Args:
        pipeline: With its tokenizer.
        prompt: The words.
        limit: Tokens that it reads; None where it is unknown.
    """
    tokenizer = getattr(pipeline, "tokenizer", None)
    if tokenizer is None or limit is None:
        return False
    tokens = tokenizer(text=[prompt])["input_ids"]
    return len(tokens[0]) > limit
