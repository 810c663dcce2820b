"""Saves downloaded reference images, up to the size that is allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from inference.domain.errors import UserError
from inference.media.results import ImageLimits

CHUNK_BYTES = 2**16


async def save(response: aiohttp.ClientResponse, target: Path, limits: ImageLimits) -> None:
    """Write the body of a response to a file.

    Raises:
        UserError: `image.too_large`.
    """
    received = 0
    # A file that a thread opens is lost when this is cancelled meanwhile.
    with target.open("wb") as file:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            received += len(chunk)
            if received > limits.file_bytes:
                raise too_large(limits)
            await asyncio.to_thread(file.write, chunk)


def too_large(limits: ImageLimits) -> UserError:
    """Return the refusal of an image with too many bytes."""
    return UserError("image.too_large", limit_mb=limits.file_bytes // 2**20)
