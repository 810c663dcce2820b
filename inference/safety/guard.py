"""The judge: asks all moderators, and turns what they find into a verdict."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path

import structlog

from inference.errors import EngineError, ModeratorUnavailable
from inference.safety.base import (
    Outcome,
    PictureModerator,
    Reason,
    Sampler,
    TextModerator,
    Verdict,
)

_log = structlog.get_logger(__name__)


class Guard:
    """Judges words and files by all moderators of the installation."""

    def __init__(
        self,
        *,
        texts: Sequence[TextModerator] = (),
        pictures: Sequence[PictureModerator] = (),
        sampler: Sampler,
        fail_closed: bool = False,
    ) -> None:
        """Wire it up.

        Args:
            texts: In the order in which they are asked. What one denies, the next never sees:
                whoever sends texts elsewhere comes last.
            pictures: The same for pictures.
            sampler: Takes the pictures out of files.
            fail_closed: Deny what a moderator could not be asked about, instead of going on
                with what the others say.
        """
        self._texts = texts
        self._pictures = pictures
        self._sampler = sampler
        self._fail_closed = fail_closed

    async def judge_texts(self, texts: Sequence[str], *, tenant: str, flagged: Outcome) -> Verdict:
        """Judge what somebody asks for.

        Args:
            texts: The prompt, in all its versions.
            tenant: Whose own words count.
            flagged: What the guild wants for things that are not out of the question.
        """
        verdict = Verdict()
        for moderator in self._texts:
            found = await self._found(moderator.name, moderator.read(texts, tenant))
            verdict = verdict.joined(Verdict.of(found, flagged))
            if verdict.denied:
                break
        return verdict

    async def judge_file(self, file: Path, *, flagged: Outcome) -> Verdict:
        """Judge a clip or an image by a few of its frames; see `judge_texts`."""
        if not self._pictures:
            return Verdict()
        directory = file.with_name(f"{file.name}.stills")
        try:
            stills = await self._sampler.stills(file, directory)
            verdict = Verdict()
            for moderator in self._pictures:
                found = await self._found(moderator.name, moderator.look(stills))
                verdict = verdict.joined(Verdict.of(found, flagged))
                if verdict.denied:
                    break
        except EngineError as error:
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
        """Return what it means that somebody could not look."""
        _log.warning("safety.unchecked", moderator=name, code=code, denied=self._fail_closed)
        return frozenset({Reason.UNCHECKED} if self._fail_closed else ())
