"""Composer of messages: from a row of the outbox to what a platform posts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bot.delivery.pictures import Pictures
from bot.platform import Outgoing, Receipt
from commands.text.card import Card
from inference.domain.job import Job, JobState
from inference.domain.outbox import Act, ActKind
from inference.store.jobs import JobStore
from inference.store.outbox import OutboxStore
from inference.store.outbox_requests import OF_ALL

CardFactory = Callable[[Job, ActKind, Path | None, Sequence[Job]], Card]
"""Returns the newest state of a job's card (of all that were asked for together), its notice, or
the message with its file."""


class Composer:
    """Composes messages from the newest state of their jobs.

    Args:
        outbox: Says what was posted before.
        store: The jobs.
        pictures: Previews on cards.
        card_factory: Makes the cards.
    """

    def __init__(
        self, outbox: OutboxStore, store: JobStore, pictures: Pictures, card_factory: CardFactory
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._pictures = pictures
        self._make_card = card_factory

    async def compose(self, act: Act, job: Job, file: Path | None = None) -> Outgoing:
        """Return the message of an act, with its file if it has one."""
        card: Act | None = act
        if act.kind is not ActKind.CARD:
            card = await self._outbox.get(job.card_of, ActKind.CARD)
        together: tuple[Job, ...] = ()
        if job.batch is not None and act.kind in OF_ALL:
            together = tuple(await self._store.batch(job.batch))
        sheet = await self._outbox.get(job.card_of, ActKind.SHEET) if together else None
        shows_all = sheet is not None and bool(sheet.receipt)
        clips = {} if shows_all else await self._clips(together)
        clip = sheet if shows_all else await self._outbox.get(job.id, ActKind.CLIP)
        picture = None
        if act.kind is ActKind.CARD:
            picture = await self._pictures.of_card(job, together)
        return Outgoing(
            key=act.key,
            kind=act.kind,
            job=job,
            card=self._make_card(job, act.kind, file, together),
            route=act.route,
            card_receipt=card.receipt if card else None,
            clip_receipt=next(iter(clips.values()), clip.receipt if clip else None),
            clips=clips,
            together=together,
            preview=picture,
            trace=act.trace,
        )

    async def _clips(self, together: Sequence[Job]) -> dict[int, Receipt]:
        """Return the posted file of each of several jobs, by the number of the job."""
        clips: dict[int, Receipt] = {}
        for job in together:
            if job.state is JobState.DONE and job.removed_at is None:
                act = await self._outbox.get(job.id, ActKind.CLIP)
                if act is not None and act.receipt:
                    clips[job.number] = act.receipt
        return clips
