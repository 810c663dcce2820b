"""Cards of jobs: pure functions of a job and its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.actions import Action
from commands.option_set import OptionSet
from commands.specs.extension import can_extend
from commands.text import job_buttons, job_lines, summary
from commands.text.card import Attachment, Bar, Card, CardKind, Instant, Line, Person
from commands.text.messages import parts, text
from inference.domain.capabilities import Capabilities
from inference.domain.job import Job, JobState
from inference.domain.render import Progress, Stage
from inference.domain.untrusted_text import isolate
from inference.domain.verdict import Outcome
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueuePosition

TITLE_LENGTH = 120
"""Characters of the prompt in a title; the whole of it is behind Info."""

READY_SECONDS = 15

_WITH_FACTS = frozenset({CardKind.WAITING, CardKind.RUNNING})
"""Cards that say what is made; those of finished jobs say what was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Status of a job that changes while it waits and runs."""

    now: float
    """Unix seconds."""
    queued: QueuePosition | None = None
    progress: Progress | None = None
    outlook: Outlook | None = None
    """Progress and expected end, while it is rendered or delivered."""
    slot: str | None = None
    """The name of its slot, where there are several."""
    paused: bool = False
    without_worker: bool = False


def status(
    job: Job, status: JobStatus, locale: str, capabilities: Capabilities | None = None
) -> Card:
    """Return the card of a job in its current state.

    Args:
        job: The job.
        status: Where it stands now.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed; for title, remarks and buttons.
    """
    match job.state:
        case JobState.ACCEPTED | JobState.PREPARING | JobState.REVIEW | JobState.QUEUED:
            return _waiting(job, status, locale, capabilities)
        case JobState.RUNNING | JobState.FINISHING | JobState.DELIVERING:
            return _running(job, status, locale, capabilities)
        case JobState.DONE:
            return _done(job, locale, capabilities)
        case JobState.FAILED | JobState.REFUSED:
            line = (job_lines.reason(job, locale),)  # every chat names the job beside its owner
            return _card(
                job, CardKind.FAILED, locale, lines=(line,), actions=job_buttons.after_failure(job)
            )
        case JobState.CANCELLED:
            line = (text("card.cancelled", locale),)
            return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))
        case JobState.EXPIRED:
            line = (job_lines.reason(job, locale) if job.failure else text("card.expired", locale),)
            return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))


def clip(
    job: Job,
    file: Path,
    locale: str,
    capabilities: Capabilities | None = None,
    *,
    measured: bool = False,
) -> Card:
    """Return the message with the finished file, which notifies its requester once.

    Args:
        job: The job.
        file: What it made.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed.
        measured: Whether to say what it cost.
    """
    hidden = job.verdict.outcome is Outcome.SPOILER
    # What was flagged is not repeated.
    words = (
        [] if job.verdict.reasons else [summary.isolate_prompt(job.spec.own_words, TITLE_LENGTH)]
    )
    number = [] if job.batch is None else [str(job.number)]
    return Card(
        kind=CardKind.CLIP,
        title=summary.join_facts([*number, *words], locale),
        lines=(
            parts("card.clip", locale, person=_person(job)),
            (summary.clip_facts(job, locale, capabilities),),
            *job_lines.draft_line(job, locale),
            *([(text("card.spoiler", locale, reason=job.verdict.reasons[0]),)] if hidden else []),
            *([] if job.verdict.reasons else job_lines.unknown_words(job, locale, capabilities)),
            *(
                (text(f"note.{note}", locale),)
                for note in (*job.notes, *(job.manifest.notes if job.manifest else ()))
            ),
            *job_lines.cost_line(job, locale, shown=measured),
        ),
        buttons=job_buttons.buttons(job, job_buttons.after_success(job, capabilities), locale),
        menu=text("button.more", locale),
        attachment=Attachment(
            path=file,
            name=f"{job.id}{file.suffix}",
            description=summary.description(job, locale),
            spoiler=hidden,
        ),
        job=job.id,
        ping=True,
    )


def failure(job: Job, locale: str) -> Card:
    """Return the message that tells the requester once that the job failed."""
    reason = job_lines.reason(job, locale)
    return Card(
        kind=CardKind.FAILED,
        lines=(
            parts("card.failure", locale, person=_person(job), reason=reason),
            *job_lines.failure_id(job, locale),
        ),
        buttons=job_buttons.buttons(job, job_buttons.after_failure(job), locale),
        job=job.id,
        ping=True,
    )


def info(
    job: Job,
    locale: str,
    capabilities: Capabilities | None = None,
    *,
    options: OptionSet,
    extendable: bool = False,
    measured: bool = False,
) -> Card:
    """Show the whole recipe, with the origin of every value.

    Args:
        job: The job.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed.
        options: Which there are here.
        extendable: Whether what a later clip can go on from is still kept.
        measured: Whether to say what it cost.
    """
    recipe = tuple((line,) for line in summary.recipe(job, locale, options))
    whole = summary.total_length(job.spec, locale)
    actions = [Action.REROLL]
    if extendable and can_extend(job, capabilities):
        actions.append(Action.EXTEND)
    if job_buttons.is_enlargeable(job.spec, capabilities):
        actions.append(Action.LARGER)
    return Card(
        kind=CardKind.INFO,
        lines=(
            (isolate(job.spec.own_words),),
            *job_lines.prompt_line(job, locale, whole=True),
            *([] if whole is None else [(whole,)]),
            *recipe,
            *job_lines.cost_line(job, locale, shown=measured),
            job_lines.job_id(job, locale),
        ),
        buttons=job_buttons.buttons(job, actions if job.ended else (), locale),
        job=job.id,
        private=True,
    )


_WAITING_ACTIONS = {
    JobState.REVIEW: (Action.ACCEPT, Action.REWORD, Action.KEEP, Action.CANCEL),
    JobState.QUEUED: (Action.CANCEL, Action.EDIT),
}

_SIZE_ACTIONS = (Action.ACCEPT, Action.EDIT, Action.CANCEL)
"""In review for its size alone."""


def _waiting(job: Job, status: JobStatus, locale: str, capabilities: Capabilities | None) -> Card:
    review = job.state is JobState.REVIEW
    prepared = review or job.state is JobState.QUEUED  # before that, the prompt may still change
    lines: list[Line] = [
        *job_lines.prompt_line(job, locale, whole=review),
        *job_lines.draft_line(job, locale),
        *((text(f"note.{note}", locale),) for note in job.notes),
        *(job_lines.unknown_words(job, locale, capabilities) if prepared else ()),
    ]
    if capabilities is not None and capabilities.native_note is not None:
        lines.append((text(f"note.{capabilities.native_note}", locale),))
    lines.append(_waiting_line(job, status, locale))
    actions = _WAITING_ACTIONS.get(job.state, (Action.CANCEL,))
    if review and job.made_to_fit and job.spec.original is None:
        actions = _SIZE_ACTIONS
    return _card(job, CardKind.WAITING, locale, capabilities, lines=tuple(lines), actions=actions)


def _waiting_line(job: Job, status: JobStatus, locale: str) -> Line:
    queued = status.queued
    if job.state is JobState.REVIEW:
        return (text("card.review_size" if job.made_to_fit else "card.review", locale),)
    if job.state is not JobState.QUEUED:
        return (text("card.preparing", locale),)
    if status.paused:
        return (text("card.paused", locale),)
    if status.without_worker:
        return (text("card.without_worker", locale),)
    if queued is None:
        return (text("card.queued", locale),)
    return parts(
        "card.next" if queued.position == 1 else "card.place",
        locale,
        position=queued.position,
        start=queued.start_in,
        ready=_instant(job, status.now + queued.ready_in),
    )


_COUNTED = {Stage.RENDERING: "card.step", Stage.EFFECTS: "card.effects"}


def _running(job: Job, status: JobStatus, locale: str, capabilities: Capabilities | None) -> Card:
    if job.cancel_requested_at is not None and job.state is JobState.RUNNING:
        line = (text("card.cancelling", locale),)
        return _card(job, CardKind.RUNNING, locale, capabilities, lines=(line,))
    outlook = status.outlook
    shown = [stage(job, status.progress, locale, capabilities)]
    ready: Line = ()
    if outlook is not None:
        shown.append(text("card.left", locale, seconds=outlook.seconds_left))
        ready = ready_at(job, status.now + outlook.seconds_left, locale)
    if status.slot is not None:
        shown.append(text("card.slot", locale, slot=status.slot))
    return _card(
        job,
        CardKind.RUNNING,
        locale,
        capabilities,
        lines=(
            *job_lines.unknown_words(job, locale, capabilities),
            (summary.join_facts(shown, locale),),
        ),
        progress=None if outlook is None else Bar(done=round(100 * outlook.fraction), total=100),
        ready=ready,
        actions=_RUNNING_ACTIONS[job.state],
    )


_RUNNING_ACTIONS: Mapping[JobState, tuple[Action, ...]] = {
    JobState.RUNNING: (Action.CANCEL, Action.INFO),
    JobState.FINISHING: (Action.INFO,),
    JobState.DELIVERING: (),
}


def stage(
    job: Job, progress: Progress | None, locale: str, capabilities: Capabilities | None
) -> str:
    """Return the text of a running job's stage."""
    if job.state is JobState.DELIVERING:
        return text("card.delivering", locale)
    if job.state is JobState.FINISHING:
        return text("card.finishing", locale)
    if progress is None:
        return text("card.starting", locale)
    match progress.stage:
        case Stage.LOADING:
            model = capabilities.title if capabilities else job.spec.model
            return text("card.loading", locale, model=model)
        case Stage.FINISHING:
            return text("card.finishing", locale)
        case _:
            return text(_COUNTED[progress.stage], locale, done=progress.done, total=progress.total)


def ready_at(job: Job, at: float, locale: str) -> Line:
    """Return when a job will be ready, as clock time."""
    return parts("card.ready", locale, ready=_round_seconds(job, at))


def _round_seconds(job: Job, at: float) -> Instant:
    """Return a time to a quarter of a minute, so that a card changes only if people see it."""
    return _instant(job, round(at / READY_SECONDS) * READY_SECONDS)


def _instant(job: Job, at: float) -> Instant:
    return Instant(at=at, zone=job.output.zone or "")


def _done(job: Job, locale: str, capabilities: Capabilities | None) -> Card:
    if job.removed_at is not None:
        line = (text("card.removed", locale),)
        return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))
    result = [job_lines.durations(job, locale), text("facts.seed", locale, seed=job.spec.seed)]
    if job.spec.draft:
        result.insert(0, text("facts.draft", locale))
    lines = (
        *job_lines.prompt_line(job, locale),
        (summary.join_facts(result, locale),),
        *job_lines.draft_line(job, locale),
        *job_lines.kept_file_line(job, locale),
    )
    actions = job_buttons.after_success(job, capabilities)
    return _card(job, CardKind.DONE, locale, lines=lines, actions=actions)


def title(job: Job, locale: str) -> str:
    """Return the title of a card.

    It is seen by all in the channel: words that were refused are not repeated there.
    """
    refused = job.failure is not None and job.failure.code == "safety.prompt"
    words = (
        text("queue.hidden", locale)
        if refused
        else summary.isolate_prompt(job.spec.own_words, TITLE_LENGTH)
    )
    return text("card.title", locale, prompt=words)


def _person(job: Job) -> Person:
    return Person(id=job.requester.id, name=job.requester.name)


def _card(
    job: Job,
    kind: CardKind,
    locale: str,
    capabilities: Capabilities | None = None,
    *,
    lines: tuple[Line, ...],
    progress: Bar | None = None,
    ready: Line = (),
    actions: Sequence[Action] = (),
) -> Card:
    """Make the card that stands for the job itself."""
    made = job_buttons.buttons(job, actions, locale)
    return Card(
        kind=kind,
        title=title(job, locale),
        owner=_person(job),
        lines=lines,
        facts=summary.facts(job.spec, locale, capabilities) if kind in _WITH_FACTS else "",
        progress=progress,
        ready=ready,
        buttons=job_buttons.relabel_info(made, locale) if kind is CardKind.RUNNING else made,
        menu=text("button.more", locale) if kind is CardKind.DONE else "",
        job=job.id,
    )
