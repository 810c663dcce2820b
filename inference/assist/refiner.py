"""The assistant with a memory, and with a rest when it does not answer."""

from __future__ import annotations

import structlog

from inference.assist.base import Draft, PromptAssistant
from inference.assist.cache import Asker, RefinementCache, digest
from inference.clock import Clock
from inference.errors import AssistantError, StoreError

PATIENCE = 3
"""Questions in a row without an answer after which the assistant is left alone for a while."""

REST_SECONDS = 60.0
"""How long: meanwhile nobody waits for a time-out."""

_log = structlog.get_logger(__name__)


class Refiner:
    """Turns drafts into prompts for people, each question once."""

    def __init__(self, assistant: PromptAssistant, cache: RefinementCache, clock: Clock) -> None:
        self._assistant = assistant
        self._cache = cache
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0

    async def refine(self, draft: Draft, asker: Asker) -> str:
        """Return the prompt for a draft, from memory if somebody has asked the same before.

        Raises:
            AssistantError: There is no usable answer now.
        """
        key = await digest(draft, self._assistant.name)
        prompt = await self._cache.get(key)
        if prompt is None:
            prompt = await self._ask(draft)
        try:
            await self._cache.put(key, prompt, asker)
        except StoreError as error:  # a full disk costs a second question, not the answer
            _log.warning("assistant.not_kept", code=error.code)
        return prompt

    async def _ask(self, draft: Draft) -> str:
        if self._clock.monotonic() < self._rests_until:
            raise AssistantError("assistant.unavailable")
        try:
            prompt = await self._assistant.refine(draft)
        except AssistantError as error:
            self._note_failure(error)
            raise
        self._failures = 0
        return prompt

    def _note_failure(self, error: AssistantError) -> None:
        if error.code != "assistant.unavailable":
            self._failures = 0  # it did answer, if only to decline
            return
        self._failures += 1
        if self._failures >= PATIENCE:
            self._rests_until = self._clock.monotonic() + REST_SECONDS
