"""Cache of encoded prompts, so that the same prompt needs the text encoder only once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MOST_BYTES = 1_000_000_000
"""Limit of cached embeddings, in host memory. One prompt of LTX-2 takes up to 400 MB."""

Wrapped = Callable[[Callable[[], Any]], Any]
"""Runs an encoding, for example with the text encoder moved to the device."""


class PromptMemory:
    """LRU cache of encoded prompts, up to `MOST_BYTES`."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def over(self, pipeline: Any, wrapped: Wrapped) -> Iterator[None]:
        """Patch a pipeline's `encode_prompt` to use the cache.

        Args:
            pipeline: The pipeline.
            wrapped: Runs an encoding that is not cached.
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
            return _move_embeddings(found, device)

        pipeline.encode_prompt = remembering
        try:
            yield
        finally:
            del pipeline.encode_prompt

    def clear(self) -> None:
        """Remove all entries."""
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
        kept = _move_embeddings(value, torch.device("cpu"))
        size = _size(kept)
        if size > MOST_BYTES or not _is_finite(kept):
            return  # a broken device's result would break every later clip of the prompt
        self._known[key] = kept, size
        self._bytes += size
        while self._bytes > MOST_BYTES:
            _, (_, freed) = self._known.popitem(last=False)
            self._bytes -= freed


def _move_embeddings(value: Any, device: torch.device) -> Any:
    """Return a copy of embeddings on a device; pipelines may change their arguments in place."""
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, tuple | list):
        return type(value)(_move_embeddings(member, device) for member in value)
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
    """Return a pipeline's text encoders."""
    return [
        part
        for name, part in pipeline.components.items()
        if name.startswith("text_encoder") and isinstance(part, nn.Module)
    ]


def is_too_long(pipeline: Any, prompt: str, limit: int | None) -> bool:
    """Return whether a prompt exceeds the token limit of the text encoder.

    Args:
        pipeline: Pipeline with a tokenizer.
        prompt: The prompt.
        limit: Most tokens; None if unknown.
    """
    tokenizer = getattr(pipeline, "tokenizer", None)
    if tokenizer is None or limit is None:
        return False
    tokens = tokenizer(text=[prompt])["input_ids"]
    return len(tokens[0]) > limit
