"""Lines of text on the cards of a job."""

from __future__ import annotations

from commands.options import IMAGE, SEED
from commands.text import summary
from commands.text.card import Line
from commands.text.messages import FALLBACK, language, member_text, text
from inference.domain.capabilities import Capabilities
from inference.domain.job import DRAFT, KEPT_CLOSED, KEPT_TOO_LARGE, KEPT_UNSEEN, Failure, Job
from inference.domain.untrusted_text import ISOLATES, cut

REFINED_LENGTH = 400
"""Characters of a refined prompt below the requester's own words; in review it is there whole."""

WORDS_SHOWN = 3
"""Words that a model does not know, of as many as there may be."""

WORD_LENGTH = 30

_KEPT = {
    KEPT_TOO_LARGE: "note.kept_too_large",
    KEPT_CLOSED: "note.kept_closed",
    KEPT_UNSEEN: "note.kept_unseen",
}
"""Why the file of a job was kept instead of posted -> what its card says of it."""


def prompt_line(job: Job, locale: str, *, whole: bool = False) -> tuple[Line, ...]:
    """Return the line with the prompt that the assistant made, if it did."""
    if job.spec.original is None:
        return ()
    length = (len(job.spec.prompt) if whole else REFINED_LENGTH) + ISOLATES
    return (
        (text("card.refined", locale, prompt=summary.isolate_prompt(job.spec.prompt, length)),),
    )


def unknown_words(job: Job, locale: str, capabilities: Capabilities | None) -> tuple[Line, ...]:
    """Return the line with the words of a prompt that its model does not know, if there are any."""
    said = unknown_in(job.spec.prompt, locale, capabilities)
    return () if said is None else ((said,),)


def unknown_in(prompt: str, locale: str, capabilities: Capabilities | None) -> str | None:
    """Say which words of a prompt a model does not know, or None where it knows them all."""
    if capabilities is None or capabilities.vocabulary is None:
        return None
    vocabulary = capabilities.vocabulary
    unknown = vocabulary.unknown(prompt)
    if not unknown:
        return None
    things = vocabulary.draws.get(language(locale)) or vocabulary.draws[FALLBACK]
    # "1 more" takes as much room as the word.
    count = WORDS_SHOWN if len(unknown) > WORDS_SHOWN + 1 else len(unknown)
    words = [text("note.word", locale, word=cut(word, WORD_LENGTH)) for word in unknown[:count]]
    if unknown[count:]:
        words.append(text("note.more_words", locale, count=len(unknown) - count))
    return text(
        "note.unknown_words",
        locale,
        model=capabilities.name,
        words=words,
        things=text("list.separator", locale).join(things),
    )


def draft_line(job: Job, locale: str) -> tuple[Line, ...]:
    """Return the line that says what a finished version has from its draft, if it is one."""
    for name in (IMAGE.name, SEED.name):
        if job.origins.get(name) == DRAFT and not job.spec.draft:
            return ((text(f"card.from_draft.{name}", locale),),)
    return ()


def kept_file_line(job: Job, locale: str) -> list[Line]:
    """Return the line that says why a job's file was kept instead of posted, if it was."""
    return [(text(_KEPT[note], locale),) for note in job.notes if note in _KEPT]


def durations(job: Job, locale: str) -> str:
    """Say how long a finished job took, and how long it had waited."""
    # The wall clock may have been set back in between.
    total = max(0.0, (job.ended_at or job.created_at) - job.created_at)
    waited = max(0.0, (job.started_at or job.created_at) - job.created_at)
    if round(waited) < 1:
        return text("card.done", locale, total=total)
    return text("card.done_after_queue", locale, total=total, waited=waited)


def reason(job: Job, locale: str) -> str:
    """Return the sentence that says why a job failed, was refused or expired."""
    if job.failure is None:
        return text("error.internal", locale, job=job.id)
    failure = Failure(code=job.failure.code, params={"job": job.id, **job.failure.params})
    return member_text(failure, locale)


def failure_id(job: Job, locale: str) -> tuple[Line, ...]:
    """Return the line with the id of a failed job, unless its reason names the id already."""
    return () if job.id in reason(job, locale) else (job_id(job, locale),)


def job_id(job: Job, locale: str) -> Line:
    """Return the line with a job's id."""
    return (text("facts.job", locale, job=job.id),)


def cost_line(job: Job, locale: str, *, shown: bool) -> tuple[Line, ...]:
    """Return the line that says what a render cost, if it is to be shown and was measured."""
    line = summary.cost_facts(job, locale) if shown else None
    return () if line is None else ((line,),)
