"""Prompt refinement with cache, rate limit and circuit breaker."""

from __future__ import annotations

import structlog

from inference.assist.base import PromptAssistant, RefinementRequest
from inference.assist.cache import Asker, RefinementCache, digest
from inference.assist.instructions import is_refusal, tidy
from inference.assist.limit import CallLimit
from inference.clock import Clock
from inference.domain.errors import AssistantError, StoreError

PATIENCE = 3
"""Questions in a row without an answer after which the assistant is left alone for a while."""

REST_SECONDS = 60.0
"""How long: meanwhile nobody waits for a time-out."""

_log = structlog.get_logger(__name__)


class Refiner:
    """Refines prompts; repeated questions are answered from the cache."""

    def __init__(
        self,
        assistant: PromptAssistant,
        cache: RefinementCache,
        clock: Clock,
        limit: CallLimit | None = None,
    ) -> None:
        """Wire it up.

        Args:
            assistant: Who is asked.
            cache: Answers that are known.
            clock: Paces the rest.
            limit: How often one person may ask; as often as they like without.
        """
        self._limit = limit
        self._assistant = assistant
        self._cache = cache
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0

    async def refine(self, request: RefinementRequest, asker: Asker) -> str:
        """Return the refined prompt of a request.

        Raises:
            AssistantError: There is no usable answer now.
        """
        forgotten = self._cache.times_forgotten(asker)
        key = await digest(request, self._assistant.name)
        # Plugins and older versions may return anything, so check the answer again.
        prompt = _usable(await self._cache.get(key) or "")
        if not prompt:
            prompt = _usable(await self._ask(request, asker))
        if not prompt:
            raise AssistantError("assistant.unusable")
        try:
            await self._cache.put(key, prompt, asker, forgotten=forgotten)
        except StoreError as error:  # a full disk costs a second question, not the answer
            _log.warning("assistant.not_kept", code=error.code)
        return prompt

    async def _ask(self, request: RefinementRequest, asker: Asker) -> str:
        if self._clock.monotonic() < self._rests_until:
            raise AssistantError("assistant.unavailable")
        if self._limit is not None:
            self._limit.take(asker.requester_id)
        try:
            prompt = await self._assistant.refine(request)
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


def _usable(answer: str) -> str:
    """Return the prompt in an answer, or "" if it has none."""
    prompt = tidy(answer)
    return "" if is_refusal(prompt) else prompt
