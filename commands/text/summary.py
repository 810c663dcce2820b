"""Specs and results in one line of words."""

from __future__ import annotations

from collections.abc import Iterator

from commands.options import CAMERA, MOTION, PROMPT, RENDER_OPTIONS
from commands.schema import Kind, Option
from commands.text.messages import text
from inference.domain.job import Job
from inference.domain.spec import Camera, Mode, Motion, Spec
from inference.engines.base import Capabilities
from inference.text import ISOLATES, clean, isolate


def facts(spec: Spec, locale: str) -> str:
    """Sum up a spec: `720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623`."""
    shown = [str(spec.resolution), str(spec.aspect), _length(spec, locale), *_added(spec, locale)]
    if spec.mode is not Mode.TEXT_TO_IMAGE:
        if spec.loops > 1:
            shown.append(text("facts.loops", locale, count=spec.loops))
        if spec.motion is not Motion.OFF:
            shown.append(text("facts.motion", locale, motion=written(MOTION, spec.motion, locale)))
        if spec.camera is not Camera.NONE:
            shown.append(text("facts.camera", locale, camera=written(CAMERA, spec.camera, locale)))
    shown.append(text("facts.seed", locale, seed=spec.seed))
    return dotted(shown, locale)


def clip_facts(job: Job, locale: str, capabilities: Capabilities | None) -> str:
    """Sum up a result: `720p · 97 frames · seed 48151623 · Open-Sora v1.3 · job 7Q2FK9XDAB`."""
    frames = job.manifest.frames if job.manifest else job.spec.frames
    shown = [str(job.spec.resolution)]
    if job.spec.mode is not Mode.TEXT_TO_IMAGE:
        shown.append(text("unit.frames", locale, count=frames))
    shown += [
        *_added(job.spec, locale),
        text("facts.seed", locale, seed=job.spec.seed),
        capabilities.title if capabilities else job.spec.model,
        text("facts.job", locale, job=job.id),
    ]
    return dotted(shown, locale)


def shorten(prompt: str, length: int) -> str:
    """Cut a prompt to `length` characters, the last of them an ellipsis."""
    return prompt if len(prompt) <= length else prompt[: length - 1].rstrip() + "…"


def quoted(prompt: str, length: int) -> str:
    """Return a prompt to stand beside our text: isolated on one line, `length` characters at most.

    The two that isolate it count.
    """
    return isolate(shorten(clean(prompt), length - ISOLATES))


def _length(spec: Spec, locale: str) -> str:
    if spec.mode is Mode.TEXT_TO_IMAGE:
        return text("facts.image", locale)
    return text("facts.length", locale, count=spec.total_frames, seconds=f"{spec.seconds:.1f}")


def _added(spec: Spec, locale: str) -> list[str]:
    """Say how much of a clip is new, if it goes on from another one."""
    if not spec.after_frames:
        return []
    return [text("facts.extended", locale, count=spec.total_frames - spec.after_frames)]


STAGES = ("load", "text", "sample", "decode", "encode", "finish")
"""Stages of a render that people are told of, in their order; engines may have others."""


def measured(job: Job, locale: str) -> str | None:
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
    return dotted(shown, locale) if shown else None


def dotted(shown: list[str], locale: str) -> str:
    """Join facts with the separator between them."""
    return text("facts.separator", locale).join(shown)


def recipe(job: Job, locale: str) -> Iterator[str]:
    """Yield every option of a job but the prompt, with its value and where that came from."""
    for option in RENDER_OPTIONS:
        if option is PROMPT:
            continue
        value = getattr(job.spec, option.name)
        origin = job.origins.get(option.name)
        if value is None or origin is None or option.kind is Kind.IMAGE:
            continue
        yield text(
            "info.line",
            locale,
            name=text(f"label.{option.name}", locale),
            value=written(option, value, locale),
            origin=text(f"origin.{origin}", locale),
        )


def written(option: Option, value: object, locale: str) -> str:
    """Write the value of an option as people read it, which may not be as they type it."""
    if isinstance(value, bool):
        return text("value.yes" if value else "value.no", locale)
    if option.worded:
        return text(f"choice.{option.name}.{str(value).replace(' ', '-')}", locale)
    if option.kind is Kind.TEXT:
        return isolate(str(value))
    return text(option.unit, locale, count=value) if option.unit else str(value)
