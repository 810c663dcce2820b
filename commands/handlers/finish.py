"""/rushes finish: the full version of a draft, with its seed or first frame."""

from __future__ import annotations

from dataclasses import replace

from commands.context import Call, Command
from commands.handlers import queue
from commands.handlers.arguments import incomplete_error
from commands.handlers.generate import make_button_layer
from commands.handlers.order import place_order
from commands.handlers.repeat import place_repeat
from commands.options import DRAFT, IMAGE, JOB_TO_CANCEL, LAST, MODEL, SEED
from commands.policy.permissions import apply_caps, check_press
from commands.results import Accepted
from commands.specs.extension import carry_over
from commands.specs.layers import Layer
from commands.specs.resolve import Resolved, resolve
from inference.domain.errors import UserError
from inference.domain.job import DRAFT as FROM_DRAFT
from inference.domain.job import Job, JobState
from inference.domain.reference import FromParent, Kept, Reference
from inference.domain.spec import Mode

_SHAPE = ("resolution", "aspect", "frames")
"""Options that shape the noise: with the same values, the same seed gives the same noise."""


async def finish(call: Call) -> Accepted:
    """Make the full version of a draft that is named."""
    wanted = queue.read_job_id(call)
    if not wanted:
        raise incomplete_error(JOB_TO_CANCEL)
    return await finish_draft(call, await call.job(wanted))


async def finish_draft(call: Call, job: Job) -> Accepted:
    """Queue the full version of a draft.

    A draft of the same size and length is followed by its seed, which gives the same clip with
    more steps. Otherwise the clip begins with the draft's first frame, where the model can do
    that and the draft is still kept; else it has only the seed in common.

    Raises:
        UserError: `job.*`: it is not a draft, or not finished. As `resolve` and `place_order`.
    """
    rules = await call.check_may_render()
    check_press(call.caller, job, rules)
    model = call.installation.model(job.spec.model)
    job = await _wait_for_draft(call, job)
    full = apply_caps(_resolve_full_version(call, job, rules.layers()), call.caller, rules)
    spec = full.spec
    alike = all(getattr(spec, name) == getattr(job.spec, name) for name in _SHAPE)
    begins = (
        not alike
        and spec.mode is Mode.TEXT_TO_VIDEO
        and spec.latents is None
        and Mode.IMAGE_TO_VIDEO in model.modes
        and call.jobs.files(job) is not None
    )
    if not begins:
        full = replace(full, origins={**full.origins, SEED.name: FROM_DRAFT})
        return await place_repeat(call, full, rules, job)
    spec = replace(spec, image=FromParent(Kept.FIRST_FRAME))
    origins = {**full.origins, IMAGE.name: FROM_DRAFT, SEED.name: FROM_DRAFT}
    return await place_order(call, replace(full, spec=spec, origins=origins), rules, parent=job.id)


async def _wait_for_draft(call: Call, job: Job) -> Job:
    """Return a job that made a draft, once that is posted.

    Raises:
        UserError: `job.no_draft`, `job.posting_now`, `job.unfinished` or `job.made_nothing`.
    """
    if not job.spec.draft:
        raise UserError("job.no_draft", job=job.id)
    job = await queue.wait_until_posted(call, job)
    if not job.ended:
        raise UserError("job.unfinished", job=job.id)
    if job.state is not JobState.DONE:
        raise UserError("job.made_nothing", job=job.id)
    return job


def _resolve_full_version(call: Call, job: Job, preferences: tuple[Layer, ...]) -> Resolved:
    """Resolve the full version of a draft, without the options that made it cheaper."""
    drafted = {name for name, origin in job.origins.items() if origin == FROM_DRAFT}
    left_out = {*drafted, DRAFT.name, IMAGE.name, LAST.name}
    said = {
        name: value
        for name in call.installation.options.by_name
        if name not in left_out and (value := job.spec.value(name)) is not None
    }
    found = {IMAGE.name: job.spec.image, LAST.name: job.spec.last}
    found |= {name: one for name, one in said.items() if isinstance(one, Reference)}
    values = {name: value for name, value in said.items() if name not in found}
    layers = (
        *preferences,
        Layer(
            name=FROM_DRAFT,
            values={**values, MODEL.name: job.spec.model, DRAFT.name: False},
            references={name: one for name, one in found.items() if one is not None},
        ),
        make_button_layer(call),
    )
    full = resolve(job.spec.prompt, layers, call.installation)
    origins = {
        name: job.origins.get(name, origin) if origin == FROM_DRAFT else origin
        for name, origin in full.origins.items()
    }
    spec = replace(carry_over(full.spec, job), original=job.spec.original, refine=False)
    return replace(full, spec=spec, origins=origins)


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    return (Command(parent="rushes", name="finish", handler=finish, options=(JOB_TO_CANCEL,)),)
