"""Prompt assistant over OpenAI's API, which many local servers offer as well."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import structlog
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    ContentFilterFinishReasonError,
    OpenAIError,
)
from openai.types.chat import (
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ParsedChatCompletionMessage,
)
from pydantic import BaseModel, ConfigDict, Field

from inference.answer_limit import HEADERS
from inference.assist.base import RefinementRequest
from inference.assist.http import http_client
from inference.assist.instructions import is_refusal, system_message, tidy
from inference.domain.errors import AssistantError

RETRIES = 2
"""Further tries after rate limits, server errors and lost connections; the client's own pauses."""

_NO_KEY = "none"
"""Local servers need no key, but the client insists on one."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantSettings:
    """Server, model and time limits of the assistant."""

    model: str
    base_url: str | None = None
    """None is OpenAI itself."""
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 20.0
    """For one answer, all tries together."""


class Answer(BaseModel):
    """Schema of the structured output."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(description="The finished prompt, in English")


class OpenAIAssistant:
    """Assistant with structured output over `POST /chat/completions`; see `PromptAssistant`."""

    def __init__(self, client: AsyncOpenAI, settings: AssistantSettings) -> None:
        self._client = client
        self._settings = settings

    @property
    def name(self) -> str:
        """The model, and the server if it is not OpenAI."""
        return f"{self._settings.model}@{self._settings.base_url or 'openai'}"

    async def refine(self, request: RefinementRequest) -> str:
        """Return a prompt; see `PromptAssistant`."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                message = await self._ask(request)
        except (TimeoutError, APIConnectionError) as error:
            raise AssistantError("assistant.unavailable") from error
        except ContentFilterFinishReasonError as error:
            raise AssistantError("assistant.declined") from error
        except APIStatusError as error:
            raise _unanswered(error.status_code) from error
        except (OpenAIError, ValueError) as error:  # cut off, or not in the form asked for
            raise AssistantError("assistant.unusable") from error
        except Exception as error:  # a server that only resembles OpenAI's may break the client
            _log.warning("assistant.invalid_answer", error=type(error).__name__)
            raise AssistantError("assistant.unusable") from error
        if message.refusal:
            raise AssistantError("assistant.declined")
        prompt = tidy(message.parsed.prompt) if message.parsed else ""
        if is_refusal(prompt):
            raise AssistantError("assistant.declined")
        if not prompt:
            raise AssistantError("assistant.unusable")
        return prompt

    async def _ask(self, request: RefinementRequest) -> ParsedChatCompletionMessage[Answer]:
        completion = await self._client.chat.completions.parse(
            model=self._settings.model, messages=await _messages(request), response_format=Answer
        )
        return completion.choices[0].message


@contextlib.asynccontextmanager
async def open_assistant(settings: AssistantSettings) -> AsyncIterator[OpenAIAssistant]:
    """Open an assistant with its HTTP client for the length of the block."""
    async with AsyncOpenAI(
        api_key=settings.api_key or _NO_KEY,
        base_url=settings.base_url,
        timeout=settings.timeout_seconds,
        max_retries=RETRIES,
        http_client=http_client(settings.base_url),
        default_headers=HEADERS,
    ) as client:
        yield OpenAIAssistant(client, settings)


def _unanswered(status: int) -> AssistantError:
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return AssistantError("assistant.unavailable")
    _log.error("assistant.rejected", status=status)  # key, model or server are not set up right
    return AssistantError("assistant.rejected", status=status)


async def _messages(request: RefinementRequest) -> list[ChatCompletionMessageParam]:
    content: str | list[ChatCompletionContentPartParam] = request.words
    if request.image is not None:
        url = await asyncio.to_thread(_data_url, request.image)
        content = [
            {"type": "text", "text": request.words},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]
    return [
        {"role": "system", "content": system_message(request)},
        {"role": "user", "content": content},
    ]


def _data_url(image: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
