"""Repeats of a job: by a button, by its form, or as a clip of the still that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from commands import forms
from commands.actions import Action
from commands.context import Call
from commands.handlers import presets
from commands.handlers.generate import make_button_layer
from commands.handlers.order import place_order
from commands.handlers.request import read_request
from commands.options import FRAME_COUNT, IMAGE, LAST, LOOPS, PROMPT, REFINE, RESOLUTION
from commands.policy.permissions import apply_caps, check_caps, check_press
from commands.policy.settings import Rules
from commands.results import Accepted, Revised
from commands.specs.extension import Passes, carry_over, extend_clip
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import Resolved, draw_seed, enlarge_spec, resolve
from inference.domain.errors import UserError
from inference.domain.job import RANDOM, TYPED, UNPREPARED, WAITING, Job, JobState
from inference.domain.reference import FromParent, Kept, Reference, inherit_reference
from inference.domain.spec import SEEDS, Mode, Resolution, Spec

PREPARED_SECONDS = 10.0
"""How long a form waits for a job that is being prepared; refusing it would lose its text."""


async def repeat_job(
    call: Call, job: Job, action: Action, *, prompt: str | None = None, passes: Passes | None = None
) -> Accepted:
    """Queue an earlier job again, for the caller.

    Args:
        call: Who asks for it.
        job: What was made.
        action: How it is made again.
        prompt: What to show from now on, if that changes.
        passes: How long `Action.EXTEND` goes on.

    Raises:
        UserError: The model is gone, it has no higher resolution for `Action.LARGER`, or there is
            nothing to go on from for `Action.EXTEND`.
    """
    capabilities = call.installation.model(job.spec.model)
    call.installation.check_effects(job.spec)
    spec, origins = job.spec, job.origins
    match action:
        case Action.REROLL:
            spec = replace(spec, seed=draw_seed())
            origins = {**origins, "seed": RANDOM}
        case Action.LARGER:
            larger = enlarge_spec(spec, capabilities)
            if larger is None:
                raise UserError("model.no_larger", model=capabilities.title)
            spec, origins = larger, {**origins, "resolution": TYPED}
        case Action.EXTEND:
            spec = extend_clip(job, capabilities, passes)
            if not call.jobs.extendable(job):
                raise UserError("extend.gone", job=job.id)
            origins = {**origins, "seed": RANDOM, "loops": COMMAND}
        case _:
            pass
    spec, origins = _apply_changes(call, spec, origins)
    if prompt is not None and prompt != spec.own_words:
        spec = replace(spec, prompt=prompt, original=None)
        origins = {name: origin for name, origin in origins.items() if name != PROMPT.name}
    rules = await call.check_may_render()
    check_caps(spec, capabilities, call.caller, rules)
    count = await _count_repeats(call, job) if action is Action.RETRY else 1
    resolved = Resolved(spec=spec, origins=origins, capabilities=capabilities, count=count)
    if action is Action.EXTEND:
        resolved = replace(resolved, spec=_inherit_references(spec))
        return await place_order(call, resolved, rules, parent=job.id)
    return await place_repeat(call, resolved, rules, job)


async def _count_repeats(call: Call, job: Job) -> int:
    """Return how many jobs to repeat: the whole batch if none of it was made."""
    together = await call.jobs.together(job)
    made = any(each.state is JobState.DONE or not each.ended for each in together)
    return 1 if made or job.number != 1 else len(together)


def _apply_changes(call: Call, spec: Spec, origins: dict[str, str]) -> tuple[Spec, dict[str, str]]:
    """Return a spec with what the caller pressed after a refusal: sizes and lengths."""
    kinds = {RESOLUTION.name: Resolution, FRAME_COUNT.name: int, LOOPS.name: int}
    changes: dict[str, Any] = {
        name: kinds[name](value) for name, value in call.changes.items() if name in kinds
    }
    return replace(spec, **changes), {**origins, **dict.fromkeys(changes, TYPED)}


async def edit(
    call: Call,
    job: Job,
    values: Mapping[str, str],
    *,
    action: Action = Action.EDIT,
    pictures: Mapping[str, str] = MappingProxyType({}),
) -> Accepted | Revised:
    """Make a job again from a form; while it waits, its requester changes the job itself.

    Args:
        call: Who handed the form in.
        job: What the form was about.
        values: What is in it.
        action: What opened it; after `Action.REWORD` the words are final.
        pictures: Those that came with it, by option; all others of the job stay.

    Raises:
        UserError: What the form says is not possible, or the job is still being prepared.
    """
    rules = await call.check_may_render()
    check_press(call.caller, job, rules)
    job = await wait_until_prepared(call, job, seconds=PREPARED_SECONDS)
    call.installation.check_effects(job.spec)
    changed = {name: str(call.changes.get(name) or "") for name in values if name in call.changes}
    form = forms.read_options({**values, **changed}, call.installation.options)
    prompt, asked = read_request(replace(call, options={**form, **pictures}))
    defaults = await presets.layers_of(call, asked, rules)
    kept = references_of(replace(call, options=pictures), job)
    typed = Layer(name=TYPED, values=asked, references=kept, asked=True)
    layers = (*defaults, typed)
    resolved = apply_caps(resolve(prompt, layers, call.installation), call.caller, rules)
    resolved = replace(resolved, spec=carry_over(resolved.spec, job))
    if action is Action.REWORD:
        resolved = _fix_words(resolved, job)
    call.installation.check(resolved.spec)
    if call.caller.owns(job) and job.state in WAITING:
        revised = await revise(call, job, resolved, rules)
        if revised is not None:
            return revised
    return await place_repeat(call, resolved, rules, job)


async def wait_until_prepared(call: Call, job: Job, *, seconds: float) -> Job:
    """Return a job once its whole batch is prepared, or time is up."""
    together = await call.jobs.together(job)
    together = await call.jobs.wait_past(together, UNPREPARED, seconds=seconds)
    return next(each for each in together if each.id == job.id)


async def revise(call: Call, job: Job, resolved: Resolved, rules: Rules) -> Revised | None:
    """Change a waiting job to a resolved request; None when it no longer waits.

    Those that were asked for with it and wait are changed too, each with its own seed.

    Raises:
        UserError: `edit.count`: that cannot be changed any more. `job.preparing_now`: one of them
            could not be changed with the others. As `JobService.revise`.
    """
    together = await call.jobs.together(job)
    if resolved.count not in {1, len(together)}:
        raise UserError("edit.count")
    if any(each.state in UNPREPARED for each in together):
        raise UserError("job.preparing_now")
    quota = await call.quota(rules)
    waiting = [each for each in together if each.state in WAITING]
    changed = []
    for place, each in enumerate(waiting, 1):
        seed = (resolved.spec.seed + each.number - job.number) % SEEDS
        revised = await call.jobs.revise(
            each.id,
            tenant=call.channel.tenant,
            spec=replace(resolved.spec, seed=seed),
            origins=resolved.origins,
            quota=quota,
            # All are changed or none.
            more=sum(call.jobs.cost(resolved.spec) - other.cost for other in waiting[place:]),
        )
        if revised is not None:
            changed.append(revised)
    return Revised(job=changed[0]) if changed else None


def _fix_words(resolved: Resolved, job: Job) -> Resolved:
    """Return the spec after a review: not refined again, with the original prompt kept."""
    spec = replace(resolved.spec, refine=False, original=job.spec.original)
    return replace(resolved, spec=spec, origins={**resolved.origins, REFINE.name: TYPED})


async def animate_still(call: Call, job: Job) -> Accepted:
    """Queue a clip that begins with the still that a job made, in its shape where that goes.

    Raises:
        UserError: The job made no still, or it is kept no longer.
    """
    if job.spec.mode is not Mode.TEXT_TO_IMAGE or call.jobs.files(job) is None:
        raise UserError("job.no_still", job=job.id)
    rules = await call.check_may_render()
    own = {name: getattr(job.spec, name) for name in ("model", "resolution", "aspect")}
    layers = (
        *rules.layers(),
        Layer(name=COMMAND, values=own, references={IMAGE.name: FromParent(Kept.RESULT)}),
        make_button_layer(call),
    )
    resolved = resolve(job.spec.own_words, layers, call.installation)
    return await place_order(call, apply_caps(resolved, call.caller, rules), rules, parent=job.id)


async def place_repeat(call: Call, resolved: Resolved, rules: Rules, job: Job) -> Accepted:
    """Submit a render that starts from the references of another job.

    A job that ended before it was prepared never had its own copy of its parent's files.
    """
    pictures = [one for use in job.spec.effects for one in use.pictures.values()]
    started_from = (job.spec.image, job.spec.latents, *pictures)
    unprepared = any(isinstance(one, FromParent) for one in started_from)
    parent = job.parent if unprepared and job.parent is not None else job.id
    repeated = replace(resolved, spec=_inherit_references(resolved.spec))
    return await place_order(call, repeated, rules, parent=parent)


def _inherit_references(spec: Spec) -> Spec:
    return replace(
        spec,
        image=inherit_reference(spec.image),
        last=inherit_reference(spec.last),
        latents=inherit_reference(spec.latents),
        effects=tuple(
            replace(
                use,
                pictures={
                    name: kept
                    for name, one in use.pictures.items()
                    if (kept := inherit_reference(one))
                },
            )
            for use in spec.effects
        ),
    )


def references_of(call: Call, job: Job) -> dict[str, Reference]:
    """Return the images of a job by the option that asks for them, but those of the call's own."""
    found = {IMAGE.name: job.spec.image, LAST.name: job.spec.last}
    for use in job.spec.effects:
        found |= use.pictures
    own = {*call.options, *call.changes}
    return {name: one for name, one in found.items() if one is not None and name not in own}
