"""Buttons of a job in each of its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from commands.actions import Action, ButtonId
from commands.specs.extension import can_extend
from commands.specs.resolve import enlarge_spec
from commands.text.card import Button, Card, CardKind, Confirm
from commands.text.messages import text
from inference.domain.capabilities import Capabilities
from inference.domain.job import Job
from inference.domain.spec import Mode, Spec


def after_success(job: Job, capabilities: Capabilities | None) -> tuple[Action, ...]:
    """Return the actions for a finished clip, the most likely first."""
    actions = [Action.FINISH] if is_finishable(job.spec, capabilities) else []
    actions += [Action.REROLL, Action.EDIT]
    if can_extend(job, capabilities):
        actions.append(Action.EXTEND)
    actions.append(Action.INFO)
    if is_enlargeable(job.spec, capabilities):
        actions.append(Action.LARGER)
    if _animatable(job.spec, capabilities):
        actions.append(Action.ANIMATE)
    return (*actions, Action.DELETE)


def after_failure(job: Job) -> tuple[Action, ...]:
    """Return the actions after a failure; a bad image gets no retry."""
    code = job.failure.code if job.failure else ""
    hopeless = code.startswith("image.") and code not in _PASSING_IMAGE_ERRORS
    return (Action.INFO,) if hopeless else (Action.RETRY, Action.INFO)


_PASSING_IMAGE_ERRORS = frozenset({"image.fetch_failed", "image.uploading"})


def is_enlargeable(spec: Spec, capabilities: Capabilities | None) -> bool:
    """Whether the same can be made at a higher resolution."""
    return capabilities is not None and enlarge_spec(spec, capabilities) is not None


def is_finishable(spec: Spec, capabilities: Capabilities | None) -> bool:
    """Whether it is a draft of which there is a full version."""
    return spec.draft and capabilities is not None and bool(capabilities.draft)


def _animatable(spec: Spec, capabilities: Capabilities | None) -> bool:
    return (
        spec.mode is Mode.TEXT_TO_IMAGE
        and capabilities is not None
        and Mode.IMAGE_TO_VIDEO in capabilities.modes
    )


def buttons(job: Job, actions: Sequence[Action], locale: str) -> tuple[Button, ...]:
    """Return the buttons of a job."""
    return tuple(
        Button(
            key=ButtonId(action=action, job=job.id),
            label=text(f"button.{action}", locale),
            confirm=_deletion(locale) if action is Action.DELETE else None,
        )
        for action in actions
    )


def confirmation(job_id: str, locale: str) -> Card:
    """Return the confirmation of deleting a file that other people see too."""
    asked = _deletion(locale)
    return Card(
        kind=CardKind.INFO,
        title=asked.title,
        lines=((asked.text,),),
        buttons=(Button(key=ButtonId(action=Action.DELETE, job=job_id), label=asked.yes),),
        private=True,
    )


def _deletion(locale: str) -> Confirm:
    return Confirm(
        title=text("confirm.delete", locale),
        text=text("confirm.delete.why", locale),
        yes=text("button.delete", locale),
        no=text("confirm.keep", locale),
    )


def open_label(job: Job, locale: str, *, number: int | None = None, sheet: bool = False) -> str:
    """Return the label of the link from a card to its file.

    Args:
        job: The job of the card.
        locale: Language of the reader.
        number: Which of several jobs of the card the file is of.
        sheet: Whether the file shows all of them.
    """
    still = job.spec.mode is Mode.TEXT_TO_IMAGE
    if sheet:
        return text("button.open_sheet", locale)
    if number is not None and still:
        return text("button.open_image_number", locale, number=number)
    if number is not None:
        return text("button.open_clip_number", locale, number=number)
    return text("button.open_image" if still else "button.open_clip", locale)


def relabel_info(buttons: tuple[Button, ...], locale: str) -> tuple[Button, ...]:
    """Relabel the Info button "Details" while a job is rendered."""
    label = text("button.details", locale)
    return tuple(
        replace(button, label=label) if button.action is Action.INFO else button
        for button in buttons
    )
