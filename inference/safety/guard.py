"""Moderation guard: asks all moderators and combines their findings into a verdict."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Sequence
from enum import Enum, auto
from pathlib import Path

import structlog

from inference.domain.errors import EngineError, ModeratorUnavailable
from inference.domain.verdict import Outcome, Reason, Verdict
from inference.safety.base import PictureModerator, StillExtractor, TextModerator

_log = structlog.get_logger(__name__)


class ModeratorScope(Enum):
    """Group of moderators to ask."""

    LOCAL = auto()
    """Those on this machine: nothing leaves it."""
    HOSTED = auto()
    """Those that send what they judge to a service."""
    EVERYWHERE = auto()


class ModerationGuard:
    """Judges texts and files with all moderators of the installation."""

    def __init__(
        self,
        *,
        texts: Sequence[TextModerator] = (),
        pictures: Sequence[PictureModerator] = (),
        unwanted: Sequence[TextModerator] = (),
        hosted_texts: Sequence[TextModerator] = (),
        hosted_pictures: Sequence[PictureModerator] = (),
        extractor: StillExtractor,
        fail_closed: bool = False,
    ) -> None:
        """Wire it up.

        Args:
            texts: On this machine, in the order in which they are asked. What one denies, the
                next never sees.
            pictures: The same for pictures.
            unwanted: Read negative prompts. To name there what must not be seen is good practice,
                so the general lists are not among them.
            hosted_texts: Send texts to a service; asked last.
            hosted_pictures: The same for pictures.
            extractor: Takes the pictures out of files.
            fail_closed: Deny what a moderator could not be asked about, instead of going on
                with what the others say.
        """
        self._texts = texts
        self._pictures = pictures
        self._unwanted = unwanted
        self._hosted_texts = hosted_texts
        self._hosted_pictures = hosted_pictures
        self._extractor = extractor
        self._fail_closed = fail_closed

    async def judge_texts(
        self,
        texts: Sequence[str],
        *,
        tenant: str,
        flagged: Outcome,
        unwanted: Sequence[str] = (),
        scope: ModeratorScope = ModeratorScope.EVERYWHERE,
    ) -> Verdict:
        """Return the verdict on the texts of a job.

        Args:
            texts: The prompt, in all its versions.
            tenant: Whose own words count.
            flagged: What the guild wants for things that are not out of the question.
            unwanted: Negative prompts, which are never sent to a service.
            scope: Group of moderators to ask.
        """
        asked: list[tuple[TextModerator, Sequence[str]]] = []
        if scope is not ModeratorScope.HOSTED:
            asked += [(moderator, texts) for moderator in self._texts]
            asked += [(moderator, unwanted) for moderator in self._unwanted]
        if scope is not ModeratorScope.LOCAL:
            asked += [(moderator, texts) for moderator in self._hosted_texts]
        verdict = Verdict()
        for moderator, given in asked:
            if not given:
                continue
            found = await self._found(moderator.name, moderator.read(given, tenant))
            verdict = verdict.merge(Verdict.of(found, flagged))
            if verdict.denied:
                break
        return verdict

    async def judge_file(
        self, file: Path, *, flagged: Outcome, scope: ModeratorScope = ModeratorScope.EVERYWHERE
    ) -> Verdict:
        """Return the verdict on stills of a clip or image; see `judge_texts`.

        Raises:
            EngineError: The file is gone.
        """
        here = () if scope is ModeratorScope.HOSTED else self._pictures
        asked = [*here, *(() if scope is ModeratorScope.LOCAL else self._hosted_pictures)]
        if not asked:
            return Verdict()
        directory = file.with_name(f"{file.name}.stills")
        try:
            stills = await self._extractor.stills(file, directory)
            verdict = Verdict()
            for moderator in asked:
                found = await self._found(moderator.name, moderator.look(stills))
                verdict = verdict.merge(Verdict.of(found, flagged))
                if verdict.denied:
                    break
        except EngineError as error:
            if not await asyncio.to_thread(file.is_file):
                raise
            return Verdict.of(self._unseen("sampler", error.code), flagged)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        return verdict

    async def _found(self, name: str, answer: Awaitable[frozenset[Reason]]) -> frozenset[Reason]:
        try:
            return await answer
        except ModeratorUnavailable as error:
            return self._unseen(name, error.code)

    def _unseen(self, name: str, code: str) -> frozenset[Reason]:
        """Return the reasons against content that a moderator could not check."""
        _log.warning("safety.unchecked", moderator=name, code=code, denied=self._fail_closed)
        return frozenset({Reason.UNCHECKED} if self._fail_closed else ())
