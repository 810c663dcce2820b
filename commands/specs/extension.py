"""Extension of a finished clip: its conditions, and the spec of the longer clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

from commands.options import LOOPS
from commands.specs.resolve import draw_seed
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.job import Job
from inference.domain.reference import FromParent, Kept
from inference.domain.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """A number of passes, and the frames of each."""

    frames: int
    loops: int


def extend_clip(job: Job, capabilities: Capabilities, passes: Passes | None = None) -> Spec:
    """Return the spec of the clip that contains a job's clip and more after it.

    The seed is new: the same noise would repeat the clip. References are dropped, because the
    longer clip begins with the old one and no longer ends where that did.

    Args:
        job: Made the clip.
        capabilities: Of its model.
        passes: What comes after it; one pass as long as the job's by default.

    Raises:
        UserError: `extend.*`: it is not a clip, its model cannot extend, or it would be too long.
    """
    if not capabilities.extends:
        raise UserError("extend.model", model=capabilities.title)
    if job.spec.frames == 1:
        raise UserError("extend.still", job=job.id)
    if job.manifest is None or job.manifest.latents_sha256 is None or job.removed_at is not None:
        raise UserError("extend.gone", job=job.id)
    spec = replace(
        job.spec,
        seed=draw_seed(),
        frames=job.spec.frames if passes is None else passes.frames,
        loops=1 if passes is None else passes.loops,
        image=None,
        last=None,
        latents=FromParent(Kept.LATENTS),
        after_frames=job.manifest.frames,
    )
    _check_length(spec)
    return spec


def can_extend(job: Job, capabilities: Capabilities | None) -> bool:
    """Whether a finished job gets the button Extend while its files are kept."""
    if capabilities is None:
        return False
    try:
        extend_clip(job, capabilities)
    except UserError:
        return False
    return True


def _check_length(spec: Spec) -> None:
    longest = longest_clip(spec)
    if spec.total_frames > longest:
        raise UserError("extend.too_long", longest=longest)


def longest_clip(spec: Spec) -> int:
    """Return the frames that a clip may reach, in one job or in many: those of all loops."""
    most = LOOPS.range.highest if LOOPS.range else 1
    return replace(spec, loops=int(most), after_frames=0).total_frames


def carry_over(spec: Spec, job: Job) -> Spec:
    """Return an edited spec that goes on from the same clip as the job it was edited from.

    Raises:
        UserError: `extend.fixed`: it asks for what the clip before is not; `extend.too_long`.
    """
    if job.spec.latents is None:
        return spec
    if any(getattr(spec, name) != getattr(job.spec, name) for name in _FIXED):
        raise UserError("extend.fixed")
    if spec.frames == 1 or spec.image is not None:
        raise UserError("extend.fixed")
    carried = replace(spec, latents=job.spec.latents, after_frames=job.spec.after_frames)
    _check_length(carried)
    return carried


_FIXED = ("model", "resolution", "aspect")
