"""Cards of batches: one card for all jobs, with a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from commands.actions import Action
from commands.text import cards, job_buttons, job_lines, summary
from commands.text.card import SHEET, Attachment, Bar, Button, Card, CardKind, plain_line
from commands.text.cards import JobStatus
from commands.text.messages import text
from inference.domain.capabilities import Capabilities
from inference.domain.job import UNPREPARED, Job, JobState

_RANKS = {
    JobState.RUNNING: 0,
    JobState.FINISHING: 0,
    JobState.DELIVERING: 0,
    JobState.DONE: 2,
    JobState.FAILED: 3,
    JobState.REFUSED: 3,
    JobState.EXPIRED: 3,
    JobState.CANCELLED: 4,
}
"""All others wait."""

WORDS_LENGTH = 40
"""Characters of a prompt beside that of the title."""

_OF_ONE = (Action.FINISH, Action.REROLL, Action.EXTEND, Action.ANIMATE, Action.RETRY)
"""Actions on a single job from the batch's card, in the order of their buttons."""


def pick_shown_job(jobs: Sequence[Job]) -> Job:
    """Return the job of a batch to show first: running, then waiting, then finished."""
    return min(jobs, key=lambda job: 4 if job.removed_at is not None else _RANKS.get(job.state, 1))


def batch(
    jobs: Sequence[Job],
    statuses: Sequence[JobStatus],
    locale: str,
    capabilities: Capabilities | None = None,
) -> Card:
    """Return the card of a batch, with a line for each job.

    Args:
        jobs: In their order.
        statuses: Where each stands now.
        locale: Language of the reader.
        capabilities: Of their model, if that is still installed.
    """
    shown, left = pick_shown_job(jobs), _left(jobs, statuses)
    status = statuses[jobs.index(shown)]
    if status.queued is not None and left is not None:  # they are ready when the last one is
        status = replace(status, queued=replace(status.queued, ready_in=left))
    card = cards.status(shown, status, locale, capabilities)
    alike = all(job.state in UNPREPARED for job in jobs)  # the last line says it of all
    parts = [
        (_part(job, status, locale, capabilities, titled=jobs[0], alike=alike),)
        for job, status in zip(jobs, statuses, strict=True)
    ]
    refused = [job for job in jobs if _hidden(job)]
    card = replace(
        card,
        title=cards.title((refused or jobs)[0], locale),
        facts=card.facts and summary.facts(shown.spec, locale, capabilities, seed=False),
        ready=(),
        menu="",
        job=jobs[0].id,
    )
    if all(job.ended for job in jobs):
        buttons = tuple(_buttons_of_each(jobs, locale, capabilities))
        refined = () if refused else job_lines.prompt_line(shown, locale)
        return replace(card, lines=(*refined, *parts), buttons=buttons)
    card = replace(card, buttons=_buttons_of_all(jobs, card, locale))
    if card.kind is not CardKind.RUNNING:
        return replace(card, lines=(*parts, *card.lines))
    fractions = [_fraction(job, status) for job, status in zip(jobs, statuses, strict=True)]
    card = replace(card, progress=Bar(done=round(100 * sum(fractions) / len(jobs)), total=100))
    if left is None:
        return replace(card, lines=(*parts, *card.lines))
    return replace(
        card,
        lines=(*card.lines[:-1], *parts, (text("card.left", locale, seconds=left),)),
        ready=cards.ready_at(shown, statuses[0].now + left, locale),
    )


def sheet(jobs: Sequence[Job], file: Path, locale: str) -> Card:
    """Return the message with the sheet of a batch.

    Args:
        jobs: In their order.
        file: The picture.
        locale: Language of the reader.
    """
    flagged = any(job.verdict.reasons for job in jobs)
    made = [job for job in jobs if job.state is JobState.DONE and job.removed_at is None]
    return Card(
        kind=CardKind.CLIP,
        title="" if flagged else summary.isolate_prompt(jobs[0].spec.own_words, cards.TITLE_LENGTH),
        lines=tuple((_part_name(job, locale),) for job in made),
        attachment=Attachment(
            path=file, name=sheet_name(jobs), description=summary.description(jobs[0], locale)
        ),
        job=jobs[0].id,
    )


def sheet_name(jobs: Sequence[Job]) -> str:
    """Return the name of the sheet's file."""
    return f"{jobs[0].id}{SHEET}"


def _buttons_of_all(jobs: Sequence[Job], card: Card, locale: str) -> tuple[Button, ...]:
    """Return the buttons while some jobs have not ended; they apply to all of those."""
    if any(job.state in UNPREPARED for job in jobs):
        return job_buttons.buttons(jobs[0], (Action.CANCEL,), locale)
    cancel = () if any(b.action is Action.CANCEL for b in card.buttons) else (Action.CANCEL,)
    return (*job_buttons.buttons(jobs[0], cancel, locale), *card.buttons)


def _buttons_of_each(
    jobs: Sequence[Job], locale: str, capabilities: Capabilities | None
) -> Iterator[Button]:
    """Yield the buttons for each job once all have ended."""
    if not any(job.state is JobState.DONE and job.removed_at is None for job in jobs):
        if any(Action.RETRY in job_buttons.after_failure(job) for job in jobs):
            yield from job_buttons.buttons(jobs[0], (Action.RETRY,), locale)
        return
    possible = {job.id: _possible(job, capabilities) for job in jobs}
    for action in _OF_ONE:
        for job in jobs:
            if action in possible[job.id]:
                (button,) = job_buttons.buttons(job, (action,), locale)
                label = text("button.of_one", locale, button=button.label, number=job.number)
                yield replace(button, label=label)


def _possible(job: Job, capabilities: Capabilities | None) -> tuple[Action, ...]:
    if job.removed_at is not None:
        return ()
    if job.state is JobState.DONE:
        return job_buttons.after_success(job, capabilities)
    return job_buttons.after_failure(job)


def _fraction(job: Job, status: JobStatus) -> float:
    if job.ended:
        return 1.0
    return status.outlook.fraction if status.outlook is not None else 0.0


def _left(jobs: Sequence[Job], statuses: Sequence[JobStatus]) -> float | None:
    """Return the seconds until the last job is expected to end, or None."""
    left = []
    for job, status in zip(jobs, statuses, strict=True):
        if job.ended:
            continue
        if status.outlook is not None:
            left.append(status.outlook.seconds_left)
        elif status.queued is not None:
            left.append(status.queued.ready_in)
        else:
            return None
    return max(left, default=None)


def _part(
    job: Job,
    status: JobStatus,
    locale: str,
    capabilities: Capabilities | None,
    *,
    titled: Job,
    alike: bool,
) -> str:
    """Return the line of one job of a batch: its status, seed and prompt.

    An edit changes those that wait. Whatever is made of other words than the title's says so.
    """
    words = []
    if job.spec.own_words != titled.spec.own_words and not _hidden(job) and not _hidden(titled):
        words.append(summary.isolate_prompt(job.spec.own_words, WORDS_LENGTH))
    state = [] if alike else [_state(job, status, locale, capabilities)]
    return summary.join_facts([_part_name(job, locale), *words, *state], locale)


def _hidden(job: Job) -> bool:
    """Whether the words of a job were refused: they are not repeated."""
    return job.failure is not None and job.failure.code == "safety.prompt"


def _part_name(job: Job, locale: str) -> str:
    return text("card.part", locale, number=job.number, seed=job.spec.seed)


def _state(job: Job, status: JobStatus, locale: str, capabilities: Capabilities | None) -> str:
    if job.removed_at is not None:
        return text("card.removed", locale)
    match job.state:
        case JobState.RUNNING if job.cancel_requested_at is not None:
            return text("card.cancelling", locale)
        case JobState.RUNNING | JobState.FINISHING | JobState.DELIVERING:
            return cards.stage(job, status.progress, locale, capabilities)
        case JobState.DONE:
            kept = [plain_line(line) for line in job_lines.kept_file_line(job, locale)]
            draft = [text("facts.draft", locale)] if job.spec.draft else []
            return summary.join_facts([*draft, job_lines.durations(job, locale), *kept], locale)
        case state if job.failure or state in {JobState.FAILED, JobState.REFUSED}:
            return job_lines.reason(job, locale)
        case state:
            return text(_TEXTS.get(state, "card.preparing"), locale)


_TEXTS = {
    JobState.QUEUED: "card.queued",
    JobState.REVIEW: "card.review",
    JobState.CANCELLED: "card.cancelled",
    JobState.EXPIRED: "card.expired",
}
