"""Prompt refinement of a job: asks the assistant, or keeps the prompt with a note."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from inference.assist.base import RefinementRequest
from inference.assist.cache import Asker
from inference.assist.language import Languages
from inference.assist.refiner import Refiner
from inference.domain.capabilities import Capabilities
from inference.domain.errors import AssistantError
from inference.domain.job import ASSISTANT, LANGUAGE, RANDOM, TYPED, Job

NOT_ENGLISH = "not_english"
"""Note: the model will hardly understand the prompt."""

UNANSWERED = "assistant_unanswered"
"""Note: the assistant gave no usable answer."""

DECLINED = "assistant_declined"
"""Note: the assistant did not want to."""

LIMITED = "assistant_limited"
"""Note: the person has had the assistant asked too often."""

NOTES = (NOT_ENGLISH, UNANSWERED, DECLINED, LIMITED)

_NOTE_BY_CODE = {"assistant.declined": DECLINED, "assistant.limited": LIMITED}

QUESTIONS = 4
"""Questions to the assistant at once; jobs that need none do not wait for them."""

_log = structlog.get_logger(__name__)


class PromptRefinement:
    """Decides whether and how a prompt is refined; on any failure it stays as written."""

    def __init__(
        self,
        *,
        refiner: Refiner | None,
        languages: Languages,
        capabilities: Callable[[str], Capabilities],
    ) -> None:
        """Wire it up.

        Args:
            refiner: Asks the assistant; None where there is none.
            languages: Recognises prompts that need it.
            capabilities: What each model understands.
        """
        self._refiner = refiner
        self._languages = languages
        self._capabilities = capabilities
        self._questions = asyncio.Semaphore(QUESTIONS)

    async def refine(self, job: Job, image: Path | None) -> Job:
        """Return the job with its final prompt, or with notes why the prompt stays.

        Args:
            job: Being prepared.
            image: Its clean reference image.
        """
        if job.origins.get("prompt") == ASSISTANT or not set(NOTES).isdisjoint(job.notes):
            return job  # done before a restart, or with the job that this one was made from
        if self._refiner is None:
            return await self._noted(job)
        if not job.spec.refine:
            if job.origins.get("refine") == TYPED or not await self._is_foreign(job):
                return await self._noted(job)
            job = replace(
                job,
                spec=replace(job.spec, refine=True),
                origins={**job.origins, "refine": LANGUAGE},
            )
        try:
            return await self._refined(self._refiner, job, image)
        except AssistantError as error:
            _log.warning("job.not_refined", job=job.id, code=error.code)
            return await self._noted(job, _NOTE_BY_CODE.get(error.code, UNANSWERED))

    async def _refined(self, refiner: Refiner, job: Job, image: Path | None) -> Job:
        drawn = job.origins.get("prompt") == RANDOM
        request = RefinementRequest(
            words=job.spec.prompt,
            mode=job.spec.mode,
            drawn=drawn,
            image=image,
            advice=self._capabilities(job.spec.model).prompt_advice,
        )
        asker = Asker(tenant=job.tenant, requester_id=job.requester.id, job_id=job.id)
        async with self._questions:
            prompt = await refiner.refine(request, asker)
        original = None if drawn else job.spec.prompt
        return replace(
            job,
            spec=replace(job.spec, prompt=prompt, original=original),
            origins={**job.origins, "prompt": ASSISTANT},
        )

    async def _noted(self, job: Job, *notes: str) -> Job:
        """Return the job with notes why its prompt was not changed.

        Where the model has a vocabulary, the card says which words it does not know.
        """
        told = self._capabilities(job.spec.model).vocabulary is not None
        foreign = (NOT_ENGLISH,) if not told and await self._is_foreign(job) else ()
        return replace(job, notes=(*job.notes, *notes, *foreign))

    async def _is_foreign(self, job: Job) -> bool:
        drawn = job.origins.get("prompt") == RANDOM
        return not drawn and await self._languages.is_foreign(job.spec.prompt)
