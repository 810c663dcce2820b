"""Admission of an order: the jobs that it makes, and whether the queue takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from inference.domain.errors import UserError
from inference.domain.job import Job, JobState, Order, new_job_id
from inference.domain.limits import Counts, QueueLimits, admit
from inference.domain.quota import admit_cost
from inference.domain.spec import SEEDS


def jobs_of(order: Order, *, cost: float, now: float) -> list[Job]:
    """Return the jobs of an order, each with the next seed; several are a batch.

    Args:
        order: What is asked for.
        cost: GPU seconds of each of them.
        now: Unix seconds.
    """
    first = Job(
        id=new_job_id(),
        state=JobState.ACCEPTED,
        spec=order.spec,
        origins=order.origins,
        tenant=order.tenant,
        requester=order.requester,
        platform=order.platform,
        address=order.address,
        created_at=now,
        cost=cost,
        key=order.key,
        parent=order.parent,
        output=order.output,
        review=order.review,
        audience=order.audience,
        # Without a name across tenants, the requester counts by tenant.
        person=order.person or f"{order.tenant}:{order.requester.id}",
    )
    if order.count == 1:
        return [first]
    first = replace(first, batch=first.id)
    seeds = [(first.spec.seed + place) % SEEDS for place in range(1, order.count)]
    others = [
        replace(
            first, id=new_job_id(), key=None, number=number, spec=replace(first.spec, seed=seed)
        )
        for number, seed in enumerate(seeds, 2)
    ]
    return [first, *others]


def admission(order: Order, limits: QueueLimits, *, now: float) -> Callable[[Job, Counts], None]:
    """Return the check of each job of an order against the queue as it is.

    The check raises `UserError`: `queue.*` or `quota.*`; `queue.fits_fewer` or `quota.fits_fewer`
    where only the first `fits` of several jobs would be taken.

    Args:
        order: What is asked for.
        limits: Those of this installation.
        now: Unix seconds.
    """

    def check(job: Job, counts: Counts) -> None:
        first = job.number == 1
        # The cooldown is between orders.
        applied = limits if first else replace(limits, cooldown_seconds=0)
        try:
            admit(counts, applied, now=now)
            if order.quota is not None:
                admit_cost(counts.usage, order.quota, job.cost, now=now)
        except UserError as error:
            if first:
                raise
            fits = {"fits": job.number - 1, "wanted": order.count}
            if error.code.startswith("quota."):
                raise UserError("quota.fits_fewer", **fits) from error
            raise UserError("queue.fits_fewer", **fits) from error

    return check
