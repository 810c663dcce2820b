"""Bounds what is read of the answers of hosted services, below OpenAI's library.

Import it only with the library: that takes 50 MB and a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
from openai import OpenAIError

MAXIMUM_BYTES = 256 * 1024
"""Of an answer: a hundred times what a prompt or a verdict takes."""

HEADERS = {"Accept-Encoding": "identity"}
"""Compressed bytes say nothing about how much they become."""


class AnswerTooLong(OpenAIError):
    """The server goes on and on; the library passes this on and does not ask again."""


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, up to a number of bytes."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAXIMUM_BYTES
        async for chunk in self._body:
            left -= len(chunk)
            if left < 0:
                raise AnswerTooLong
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


async def bound(response: httpx2.Response) -> None:
    """Replace the body of an answer by one that ends: a hook, called before it is read."""
    response.headers.pop("content-encoding", None)
    response.stream = _Bounded(response.stream)
