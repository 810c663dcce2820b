"""A job in one line of words: its spec, its result, its prompt."""

from __future__ import annotations

from collections.abc import Iterator

from commands.option_set import OptionSet, own_option
from commands.options import PROMPT
from commands.schema import Kind
from commands.text.messages import FALLBACK, text
from commands.text.option_texts import effect_name, format_value, option_name
from inference.domain.capabilities import Capabilities
from inference.domain.job import Job
from inference.domain.spec import Mode, Spec
from inference.domain.untrusted_text import ISOLATES, clean, cut, is_blank, isolate, isolate_foreign

DESCRIPTION_LENGTH = 1000
"""Characters of the prompt in the alternative text of a file (Discord takes 1024)."""


def facts(spec: Spec, locale: str, capabilities: Capabilities | None, *, seed: bool = True) -> str:
    """Sum up a spec: `720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623`."""
    shown = [text("facts.draft", locale)] if spec.draft else []
    shown += [
        str(spec.resolution),
        str(spec.aspect),
        _length(spec, locale),
        *_added_length(spec, locale),
    ]
    if spec.mode is not Mode.TEXT_TO_IMAGE and spec.loops > 1:
        shown.append(text("facts.loops", locale, count=spec.loops))
    shown += [*_own(spec, locale, capabilities), *_effects(spec, locale)]
    if seed:
        shown.append(text("facts.seed", locale, seed=spec.seed))
    return join_facts(shown, locale)


def clip_facts(job: Job, locale: str, capabilities: Capabilities | None) -> str:
    """Sum up a result: `720p · 97 frames · seed 48151623 · Open-Sora v1.3 · job 7Q2FK9XDAB`."""
    frames = job.manifest.frames if job.manifest else job.spec.frames
    shown = [text("facts.draft", locale)] if job.spec.draft else []
    shown.append(str(job.spec.resolution))
    if job.spec.mode is not Mode.TEXT_TO_IMAGE:
        shown.append(text("unit.frames", locale, count=frames))
    shown += [
        *_added_length(job.spec, locale),
        *_effects(job.spec, locale),
        text("facts.seed", locale, seed=job.spec.seed),
        capabilities.title if capabilities else job.spec.model,
        text("facts.job", locale, job=job.id),
    ]
    return join_facts(shown, locale)


def total_length(spec: Spec, locale: str) -> str | None:
    """Write the total length of a clip of several passes; None where there is one pass."""
    if spec.total_frames == spec.frames:
        return None
    return join_facts([_length(spec, locale), *_added_length(spec, locale)], locale)


def isolate_prompt(prompt: str, length: int) -> str:
    """Return a prompt on one line, isolated from our text, `length` characters at most.

    The two that isolate it count.
    """
    return isolate(cut(clean(prompt), length - ISOLATES))


def description(job: Job, locale: str) -> str:
    """Return the description of a file for screen readers; of a flagged one, only its job."""
    if job.verdict.reasons:
        return text("facts.job", locale, job=job.id)
    return _alone(job.spec.prompt, DESCRIPTION_LENGTH)


def thread_name(job: Job, length: int) -> str:
    """Name the thread of a job by its prompt; of a flagged one, by its id."""
    if job.verdict.reasons or is_blank(job.spec.prompt):
        return text("facts.job", job.output.language or FALLBACK, job=job.id)
    return _alone(job.spec.prompt, length)


def _alone(prompt: str, length: int) -> str:
    """Return a prompt that stands alone in a field, where only its direction could leak."""
    words = cut(" ".join(clean(prompt).split()), length - ISOLATES)
    return isolate_foreign(words)


def _length(spec: Spec, locale: str) -> str:
    if spec.mode is Mode.TEXT_TO_IMAGE:
        return text("facts.image", locale)
    return text("facts.length", locale, count=spec.total_frames, seconds=f"{spec.seconds:.1f}")


_SAYS_NOTHING = frozenset({"off", "none"})
"""Choices that leave a model's own option out."""


def _own(spec: Spec, locale: str, capabilities: Capabilities | None) -> Iterator[str]:
    """Yield the values of the model's own basic options."""
    for own in capabilities.options if capabilities else ():
        option, value = own_option(own), spec.options.get(own.name)
        silent = value is None or value is False or value in _SAYS_NOTHING
        if own.advanced or silent or spec.mode not in own.modes:
            continue
        name = option_name(option, locale)
        if value is True:
            yield name
        else:
            said = format_value(option, value, locale)
            yield text("facts.option", locale, name=name, value=said)


def _effects(spec: Spec, locale: str) -> Iterator[str]:
    """Yield the effects, each with what switches it on where that is a number or a choice."""
    for use in spec.effects:
        value = use.values.get(use.name, True)
        name = effect_name(use, locale)
        yield name if value is True else text("facts.option", locale, name=name, value=str(value))


def _added_length(spec: Spec, locale: str) -> list[str]:
    """Write how much of an extended clip is new."""
    if not spec.after_frames:
        return []
    return [text("facts.extended", locale, count=spec.total_frames - spec.after_frames)]


STAGES = ("load", "text", "sample", "decode", "effects", "encode", "finish")
"""Stages of a render that people are told of, in their order; engines may have others."""


def cost_facts(job: Job, locale: str) -> str | None:
    """Sum up what a render cost, or None where nothing was measured."""
    manifest = job.manifest
    if manifest is None or not manifest.timings:
        return None
    shown = [
        text(f"stage.{stage}", locale, seconds=f"{manifest.timings[stage]:.1f}")
        for stage in STAGES
        if stage in manifest.timings
    ]
    if manifest.forwards:
        shown.append(text("measured.forwards", locale, count=manifest.forwards))
    if manifest.peak_bytes:
        shown.append(text("measured.memory", locale, gigabytes=f"{manifest.peak_bytes / 1e9:.1f}"))
    return join_facts(shown, locale) if shown else None


def join_facts(shown: list[str], locale: str) -> str:
    """Join facts with the separator between them."""
    return text("facts.separator", locale).join(shown)


def recipe(job: Job, locale: str, options: OptionSet) -> Iterator[str]:
    """Yield every option of a job but the prompt, with its value and where that came from."""
    for option in options.by_name.values():
        if option is PROMPT:
            continue
        value = job.spec.value(option.name)
        origin = job.origins.get(option.name)
        if value is None or origin is None or option.kind is Kind.IMAGE:
            continue
        yield text(
            "info.line",
            locale,
            name=option_name(option, locale),
            value=format_value(option, value, locale),
            origin=text(f"origin.{origin}", locale),
        )
    rendered_by = {} if job.manifest is None else job.manifest.effects
    for use in job.spec.effects:
        yield text(
            "info.line",
            locale,
            name=effect_name(use, locale),
            value=rendered_by.get(use.name, use.release),
            origin=text("origin.plugin", locale),
        )
