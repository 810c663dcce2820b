"""The prompt assistant, made from the section `[assistant]` of the config."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from bot.config.sections import Config
from inference.assist.base import PromptAssistant
from inference.domain.errors import UserError

AssistantFactory = Callable[[Config], AbstractAsyncContextManager[PromptAssistant]]

OPENAI = "openai"


def check_assistant(config: Config, known: Mapping[str, AssistantFactory]) -> None:
    """Check that the assistant is known and has what it needs, if there is to be one.

    Raises:
        UserError: `config.assistant_unknown`. `config.no_assistant_key`: OpenAI itself does not
            answer without one.
    """
    section = config.assistant
    if not section.on:
        return
    if section.engine not in known:
        where = config.where("assistant", "engine")
        raise UserError(
            "config.assistant_unknown", where=where, name=section.engine, known=list(known)
        )
    if section.engine == OPENAI and section.api_key is None and section.base_url is None:
        raise UserError("config.no_assistant_key", where=config.where("assistant", "model"))


@contextlib.asynccontextmanager
async def assistant(
    config: Config, known: Mapping[str, AssistantFactory]
) -> AsyncIterator[PromptAssistant | None]:
    """Keep the assistant ready for the length of the block, if there is one.

    Raises:
        UserError: See `check_assistant`.
    """
    check_assistant(config, known)
    if not config.assistant.on:
        yield None
        return
    async with known[config.assistant.engine](config) as made:
        yield made


@contextlib.asynccontextmanager
async def _openai(config: Config) -> AsyncIterator[PromptAssistant]:
    # The client takes most of a second to import.
    from inference.assist.openai import AssistantSettings, open_assistant  # noqa: PLC0415

    section = config.assistant
    settings = AssistantSettings(
        model=section.model or "",
        base_url=section.base_url,
        api_key=None if section.api_key is None else section.api_key.get_secret_value(),
        timeout_seconds=section.timeout_seconds,
    )
    async with open_assistant(settings) as made:
        yield made


BUILT_IN: Mapping[str, AssistantFactory] = {OPENAI: _openai}
