"""Size limit on response bodies of hosted services, as an HTTP hook for OpenAI's client.

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
    """The response body exceeds the limit; OpenAI's client does not retry it."""


class _Bounded(httpx2.AsyncByteStream):
    """Response body that fails beyond a number of bytes."""

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
    """HTTP response hook: limit the body before it is read."""
    response.headers.pop("content-encoding", None)
    response.stream = _Bounded(response.stream)
