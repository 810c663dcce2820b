"""Jobs as cards: pure functions from a job and where it stands to what people see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.actions import Action, ButtonId
from commands.extend import can_extend
from commands.options import BY_FLAG, BY_NAME, IMAGE, PROMPT
from commands.resolve import enlarged
from commands.text import summary
from commands.text.card import Attachment, Bar, Button, Card, CardKind, Instant, Line, Person
from commands.text.messages import FALLBACK, member_text, parts, text
from inference.domain.errors import RushesError
from inference.domain.job import KEPT_CLOSED, KEPT_TOO_LARGE, KEPT_UNSEEN, Failure, Job, JobState
from inference.domain.render import Progress, Stage
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome
from inference.engines.base import Capabilities
from inference.jobs.forecast import QueuePosition
from inference.text import ISOLATES, clean, is_blank, isolate, isolate_foreign

TITLE_LENGTH = 120
"""Characters of the prompt in a title; the whole of it is behind Info."""

REFINED_LENGTH = 400
"""Characters of a refined prompt below the requester's own words; in review it is there whole."""

DESCRIPTION_LENGTH = 1000
"""Characters of the prompt in the alternative text of a file (Discord takes 1024)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What moves while a job waits and runs."""

    now: float
    """Unix seconds."""
    place: QueuePosition | None = None
    progress: Progress | None = None
    seconds_left: float | None = None
    paused: bool = False
    without_worker: bool = False


def status(
    job: Job, standing: Standing, locale: str, capabilities: Capabilities | None = None
) -> Card:
    """Show a job in its present state.

    Args:
        job: The job.
        standing: Where it stands now.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed; for title, remarks and buttons.
    """
    match job.state:
        case JobState.ACCEPTED | JobState.PREPARING | JobState.REVIEW | JobState.QUEUED:
            return _waiting(job, standing, locale, capabilities)
        case JobState.RUNNING | JobState.FINISHING | JobState.DELIVERING:
            return _running(job, standing, locale, capabilities)
        case JobState.DONE:
            return _done(job, locale)
        case JobState.FAILED | JobState.REFUSED:
            lines = ((_reason(job, locale),), _job_line(job, locale))
            return _card(job, CardKind.FAILED, locale, lines=lines, actions=_after_failure(job))
        case JobState.CANCELLED:
            line = (text("card.cancelled", locale),)
            return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))
        case JobState.EXPIRED:
            line = (_reason(job, locale) if job.failure else text("card.expired", locale),)
            return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))


def clip(
    job: Job,
    file: Path,
    locale: str,
    capabilities: Capabilities | None = None,
    *,
    measured: bool = False,
) -> Card:
    """Bring the finished file: the message that notifies its requester, once.

    Args:
        job: The job.
        file: What it made.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed.
        measured: Whether to say what it cost.
    """
    hidden = job.verdict.outcome is Outcome.SPOILER
    actions = [Action.REROLL, Action.EDIT]
    if can_extend(job, capabilities):
        actions.append(Action.EXTEND)
    if _larger(job.spec, capabilities):
        actions.append(Action.LARGER)
    if _animatable(job.spec, capabilities):
        actions.append(Action.ANIMATE)
    actions += [Action.INFO, Action.DELETE]
    return Card(
        kind=CardKind.CLIP,
        lines=(
            parts("card.clip", locale, person=_person(job)),
            (summary.clip_facts(job, locale, capabilities),),
            *([(text("card.spoiler", locale, reason=job.verdict.reasons[0]),)] if hidden else []),
            *(
                (text(f"note.{note}", locale),)
                for note in (*job.notes, *(job.manifest.notes if job.manifest else ()))
            ),
            *_measured(job, locale, shown=measured),
        ),
        buttons=buttons(job, actions, locale),
        attachment=Attachment(
            path=file,
            name=f"{job.id}{file.suffix}",
            description=description(job, locale),
            spoiler=hidden,
        ),
        job=job.id,
        ping=True,
    )


def description(job: Job, locale: str) -> str:
    """Say in words what a file shows; of a flagged one, only which job it is of."""
    if job.verdict.reasons:
        return text("facts.job", locale, job=job.id)
    return _alone(job.spec.prompt, DESCRIPTION_LENGTH)


def thread_name(job: Job, length: int) -> str:
    """Name the thread of a job by its prompt; of a flagged one, by its id."""
    if job.verdict.reasons or is_blank(job.spec.prompt):
        return text("facts.job", job.output.language or FALLBACK, job=job.id)
    return _alone(job.spec.prompt, length)


def _alone(prompt: str, length: int) -> str:
    """Return a prompt that stands in a field of its own, where only its direction could leak."""
    words = summary.shorten(" ".join(clean(prompt).split()), length - ISOLATES)
    return isolate_foreign(words)


def failure(job: Job, locale: str) -> Card:
    """Tell the requester, once, that nothing will come."""
    return Card(
        kind=CardKind.FAILED,
        lines=(
            parts("card.failure", locale, person=_person(job), reason=_reason(job, locale)),
            _job_line(job, locale),
        ),
        buttons=buttons(job, _after_failure(job), locale),
        job=job.id,
        ping=True,
    )


def info(
    job: Job,
    locale: str,
    capabilities: Capabilities | None = None,
    *,
    extendable: bool = False,
    measured: bool = False,
) -> Card:
    """Show the whole recipe, with the origin of every value.

    Args:
        job: The job.
        locale: Language of the reader.
        capabilities: Of its model, if that is still installed.
        extendable: Whether what a later clip can go on from is still kept.
        measured: Whether to say what it cost.
    """
    recipe = tuple((line,) for line in summary.recipe(job, locale))
    actions = [Action.REROLL]
    if extendable and can_extend(job, capabilities):
        actions.append(Action.EXTEND)
    if _larger(job.spec, capabilities):
        actions.append(Action.LARGER)
    return Card(
        kind=CardKind.INFO,
        lines=(
            (isolate(job.spec.own_words),),
            *_refined(job, locale, len(job.spec.prompt)),
            *recipe,
            *_measured(job, locale, shown=measured),
            _job_line(job, locale),
        ),
        buttons=buttons(job, actions if job.ended else (), locale),
        job=job.id,
        private=True,
    )


def error(problem: RushesError, locale: str, *, advice: str | None = None) -> Card:
    """Say what is wrong with a request, and what would work, to the caller only."""
    lines = [member_text(problem, locale), *([] if advice is None else [advice])]
    return Card(
        kind=CardKind.ERROR,
        lines=tuple((line,) for line in lines),
        private=True,
        option=option_of(problem),
    )


def option_of(problem: RushesError) -> str:
    """Return the name of the option that an error is about, or nothing."""
    family = problem.code.partition(".")[0]
    if family in {PROMPT.name, IMAGE.name}:
        return family
    named = problem.params.get("option") or problem.params.get("flag") or ""
    word = str(named).removeprefix("--")
    option = BY_FLAG.get(word) or BY_NAME.get(word)
    return option.name if option else ""


def note(key: str, locale: str, /, *, buttons: tuple[Button, ...] = (), **params: Any) -> Card:
    """Answer with one sentence, to the caller only."""
    line = (text(key, locale, **params),)
    return Card(kind=CardKind.INFO, lines=(line,), buttons=buttons, private=True)


_WAITING_ACTIONS = {
    JobState.REVIEW: (Action.ACCEPT, Action.REWORD, Action.KEEP, Action.CANCEL),
    JobState.QUEUED: (Action.CANCEL, Action.EDIT),
}

_SIZE_ACTIONS = (Action.ACCEPT, Action.EDIT, Action.CANCEL)
"""In review for its size alone."""


def _refined(job: Job, locale: str, length: int) -> tuple[Line, ...]:
    """Show what the assistant made of the requester's words, if it did."""
    if job.spec.original is None:
        return ()
    return (
        (text("card.refined", locale, prompt=summary.quoted(job.spec.prompt, length + ISOLATES)),),
    )


def _waiting(job: Job, standing: Standing, locale: str, capabilities: Capabilities | None) -> Card:
    review = job.state is JobState.REVIEW
    lines: list[Line] = [
        *_refined(job, locale, len(job.spec.prompt) if review else REFINED_LENGTH),
        (summary.facts(job.spec, locale),),
        *((text(f"note.{note}", locale),) for note in job.notes),
    ]
    if capabilities is not None and capabilities.native_note is not None:
        lines.append((text(f"note.{capabilities.native_note}", locale),))
    lines.append(_waiting_line(job, standing, locale))
    actions = _WAITING_ACTIONS.get(job.state, (Action.CANCEL,))
    if review and job.made_to_fit and job.spec.original is None:
        actions = _SIZE_ACTIONS
    return _card(job, CardKind.WAITING, locale, lines=tuple(lines), actions=actions)


def _waiting_line(job: Job, standing: Standing, locale: str) -> Line:
    place = standing.place
    if job.state is JobState.REVIEW:
        return (text("card.review_size" if job.made_to_fit else "card.review", locale),)
    if job.state is not JobState.QUEUED:
        return (text("card.preparing", locale),)
    if standing.paused:
        return (text("card.paused", locale),)
    if standing.without_worker:
        return (text("card.without_worker", locale),)
    if place is None:
        return (text("card.queued", locale),)
    return parts(
        "card.next" if place.position == 1 else "card.place",
        locale,
        position=place.position,
        start=place.start_in,
        ready=Instant(at=standing.now + place.ready_in),
    )


def _running(job: Job, standing: Standing, locale: str, capabilities: Capabilities | None) -> Card:
    if job.cancel_requested_at is not None and job.state is JobState.RUNNING:
        line = (text("card.cancelling", locale),)
        return _card(job, CardKind.RUNNING, locale, lines=(line,))
    if job.state is JobState.DELIVERING:
        line = (text("card.delivering", locale),)
        return _card(job, CardKind.RUNNING, locale, lines=(line,))
    progress = standing.progress
    if job.state is JobState.FINISHING or progress is None or progress.stage is Stage.FINISHING:
        started = progress is not None or job.state is JobState.FINISHING
        line = (text("card.finishing" if started else "card.starting", locale),)
        actions = () if job.state is JobState.FINISHING else (Action.CANCEL,)
        return _card(job, CardKind.RUNNING, locale, lines=(line,), actions=actions)
    model = capabilities.title if capabilities else job.spec.model
    shown = [
        text("card.loading", locale, model=model)
        if progress.stage is Stage.LOADING
        else text("card.step", locale, done=progress.done, total=progress.total)
    ]
    if standing.seconds_left is not None:
        shown.append(text("card.left", locale, seconds=standing.seconds_left))
    return _card(
        job,
        CardKind.RUNNING,
        locale,
        lines=((summary.dotted(shown, locale),),),
        progress=Bar(done=progress.done, total=progress.total),
        actions=(Action.CANCEL,),
    )


_KEPT = {
    KEPT_TOO_LARGE: "note.kept_too_large",
    KEPT_CLOSED: "note.kept_closed",
    KEPT_UNSEEN: "note.kept_unseen",
}
"""Why the file of a job was kept instead of posted -> what its card says of it."""


def _done(job: Job, locale: str) -> Card:
    if job.removed_at is not None:
        line = (text("card.removed", locale),)
        return _card(job, CardKind.STOPPED, locale, lines=(line,), actions=(Action.RETRY,))
    kept = [(text(_KEPT[note], locale),) for note in job.notes if note in _KEPT]
    lines = (*_refined(job, locale, REFINED_LENGTH), (_ready_in(job, locale),), *kept)
    return _card(job, CardKind.DONE, locale, lines=lines)


def _ready_in(job: Job, locale: str) -> str:
    # The wall clock may have been set back in between.
    total = max(0.0, (job.ended_at or job.created_at) - job.created_at)
    waited = max(0.0, (job.started_at or job.created_at) - job.created_at)
    if round(waited) < 1:
        return text("card.done", locale, total=total)
    return text("card.done_after_line", locale, total=total, waited=waited)


def _after_failure(job: Job) -> tuple[Action, ...]:
    """Return what can be done about a failure: an image that is no good stays so."""
    code = job.failure.code if job.failure else ""
    hopeless = code.startswith("image.") and code not in _PASSING_IMAGE_ERRORS
    return (Action.INFO,) if hopeless else (Action.RETRY, Action.INFO)


_PASSING_IMAGE_ERRORS = frozenset({"image.fetch_failed", "image.uploading"})


def _reason(job: Job, locale: str) -> str:
    if job.failure is None:
        return text("error.internal", locale, job=job.id)
    failure = Failure(code=job.failure.code, params={"job": job.id, **job.failure.params})
    return member_text(failure, locale)


def _job_line(job: Job, locale: str) -> Line:
    return (text("facts.job", locale, job=job.id),)


def _measured(job: Job, locale: str, *, shown: bool) -> tuple[Line, ...]:
    line = summary.measured(job, locale) if shown else None
    return () if line is None else ((line,),)


def _larger(spec: Spec, capabilities: Capabilities | None) -> bool:
    return capabilities is not None and enlarged(spec, capabilities) is not None


def _animatable(spec: Spec, capabilities: Capabilities | None) -> bool:
    return (
        spec.mode is Mode.TEXT_TO_IMAGE
        and capabilities is not None
        and Mode.IMAGE_TO_VIDEO in capabilities.modes
    )


def _person(job: Job) -> Person:
    return Person(id=job.requester.id, name=job.requester.name)


def buttons(job: Job, actions: Sequence[Action], locale: str) -> tuple[Button, ...]:
    """Return what can be pressed about a job."""
    return tuple(
        Button(key=ButtonId(action=action, job=job.id), label=text(f"button.{action}", locale))
        for action in actions
    )


def _card(
    job: Job,
    kind: CardKind,
    locale: str,
    *,
    lines: tuple[Line, ...],
    progress: Bar | None = None,
    actions: Sequence[Action] = (),
) -> Card:
    """Make the card that stands for the job itself.

    It is seen by all in the channel: words that were refused are not repeated there.
    """
    refused = job.failure is not None and job.failure.code == "safety.prompt"
    words = (
        text("queue.hidden", locale)
        if refused
        else summary.quoted(job.spec.own_words, TITLE_LENGTH)
    )
    return Card(
        kind=kind,
        title=text("card.title", locale, prompt=words),
        owner=_person(job),
        lines=lines,
        progress=progress,
        buttons=buttons(job, actions, locale),
        job=job.id,
    )
