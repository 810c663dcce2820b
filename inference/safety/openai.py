"""Moderation by OpenAI, or a server that speaks its API: texts and pictures.

Import it only where it is configured: the client library takes 50 MB and a second.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from openai import AsyncOpenAI, OpenAIError
from openai.types.moderation_create_response import ModerationCreateResponse

from inference.answer_limit import HEADERS
from inference.assist.http import http_client
from inference.domain.errors import ModeratorUnavailable
from inference.domain.verdict import Reason

MODEL = "omni-moderation-latest"

TIMEOUT_SECONDS = 15.0
"""For one try."""

RETRIES = 2
"""After a time-out, a 429 or a 5xx; the client waits in between, as long as it is told."""

_REASONS = {
    "sexual": Reason.SEXUAL,
    "sexual/minors": Reason.MINORS,
    "violence": Reason.VIOLENCE,
    "violence/graphic": Reason.GORE,
    "self-harm": Reason.SELF_HARM,
    "self-harm/intent": Reason.SELF_HARM,
    "self-harm/instructions": Reason.SELF_HARM,
    "hate": Reason.HATE,
    "hate/threatening": Reason.HATE,
    "harassment": Reason.HARASSMENT,
    "harassment/threatening": Reason.HARASSMENT,
    "illicit": Reason.ILLICIT,
    "illicit/violent": Reason.ILLICIT,
}


class OpenAIModerator:
    """Asks the moderation endpoint. Use as an async context manager."""

    name = "openai"

    def __init__(self, *, api_key: str, base_url: str | None) -> None:
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=TIMEOUT_SECONDS,
            max_retries=RETRIES,
            http_client=http_client(base_url),
            default_headers=HEADERS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def read(self, texts: Sequence[str], tenant: str) -> frozenset[Reason]:  # noqa: ARG002 - the port's signature
        """Return the categories that any of the texts falls into; see `TextModerator`."""
        return await self._flagged(list(texts), count=len(texts))

    async def look(self, stills: Sequence[Path]) -> frozenset[Reason]:
        """Return the categories that any picture falls into; see `PictureModerator`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                # The endpoint takes one picture at a time.
                asked = [tasks.create_task(self._look_at(still)) for still in stills]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return frozenset(reason for task in asked for reason in task.result())

    async def _look_at(self, still: Path) -> frozenset[Reason]:
        data = base64.b64encode(await asyncio.to_thread(still.read_bytes)).decode()
        url = f"data:image/jpeg;base64,{data}"
        return await self._flagged([{"type": "image_url", "image_url": {"url": url}}], count=1)

    async def _flagged(self, given: Any, *, count: int) -> frozenset[Reason]:
        try:
            answer = await self._client.moderations.create(model=MODEL, input=given)
        except (OpenAIError, ValueError) as error:  # the latter for an answer that is no JSON
            raise ModeratorUnavailable(type(error).__name__) from error
        return _reasons(answer, count)


def _reasons(answer: ModerationCreateResponse, count: int) -> frozenset[Reason]:
    """Read an answer, of which the client has checked nothing.

    Raises:
        ModeratorUnavailable: It does not say of each of the `count` inputs what it is.
    """
    try:
        categories = [result.categories.to_dict() for result in answer.results]
    except (AttributeError, TypeError) as error:
        raise ModeratorUnavailable("unreadable") from error
    if len(categories) != count or not all(categories):
        raise ModeratorUnavailable("unreadable")
    return frozenset(
        _REASONS.get(name, Reason.OTHER)
        for each in categories
        for name, flagged in each.items()
        if flagged is True
    )
