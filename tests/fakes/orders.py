"""What people ask for in the tests of the job core, and two models that could make it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from inference.domain.capabilities import Capabilities, Cost
from inference.domain.errors import UserError
from inference.domain.job import Audience, Job, JobState, Order, Requester
from inference.domain.limits import Counts
from inference.domain.outbox import ActKind
from inference.domain.reference import read_reference
from inference.domain.spec import Aspect, Mode, Resolution, Spec
from inference.engines.geometry import LENGTHS, SIZES
from inference.opensora.controls import CONTROLS
from inference.store.jobs import JobStore
from inference.store.outbox import OutboxStore

JOB_SECONDS = 10.0
"""What every job is estimated at, whatever is in it."""

LOAD_SECONDS = 30.0

_ids = itertools.count(1)


def capabilities(name: str) -> Capabilities:
    """Return what "fox" or "owl" can do; no other model is installed."""
    if name not in {"fox", "owl"}:
        raise UserError("model.unknown", name=name, known=["fox", "owl"])
    return Capabilities(
        name=name,
        title=name.title(),
        lengths=LENGTHS,
        options=CONTROLS,
        modes=frozenset(Mode),
        sizes=SIZES,
        cost=Cost(
            load_seconds=LOAD_SECONDS,
            fixed_seconds=JOB_SECONDS,
            seconds_per_megapixel_frame_step=0.0,
        ),
    )


async def accept(
    store: JobStore, job: Job, admit: Callable[[Counts], None] = lambda _: None, **since: float
) -> Job:
    """Persist a job of an order of its own."""
    [accepted] = await store.accept_all([job], lambda _, counts: admit(counts), **since)
    return accepted


async def next_at(
    outbox: OutboxStore, platforms: Collection[str] = ("test",), busy: Collection[str] = ()
) -> float | None:
    """Return when the next act becomes due if there is room for every one, or None."""
    room = dict.fromkeys(itertools.product(platforms, ActKind), ("all", 99, 99))
    return await outbox.next_by_pool(room, busy=dict.fromkeys(busy, "all"))


def a_spec(**changes: Any) -> Spec:
    """Return a small legal spec."""
    values: dict[str, Any] = {
        "prompt": "a red fox running through snow",
        "model": "fox",
        "resolution": Resolution.P360,
        "aspect": Aspect.WIDE,
        "frames": 49,
        "options": {"motion": "fair", "aesthetic": "excellent", "camera": "none", "fps": 24},
        "refine": False,
        "seed": 7,
        "steps": 10,
        "cfg": 7.0,
        "loops": 1,
    }
    own = {name: changes.pop(name) for name in values["options"] if name in changes}
    for name in {"image", "last", "latents"} & set(changes):
        if isinstance(changes[name], str):  # as version 0.1 wrote it
            changes[name] = read_reference(changes[name])
    return with_options(Spec(**values | changes), **own)


def with_options(spec: Spec, **own: Any) -> Spec:
    """Return a spec with other values of its model's own options."""
    return replace(spec, options={**spec.options, **own})


def an_order(
    tenant: str = "guild:a",
    requester: str = "ada",
    *,
    key: str | None = None,
    parent: str | None = None,
    **spec: Any,
) -> Order:
    """Return an order of a person in a guild."""
    return Order(
        spec=a_spec(**spec),
        origins={"prompt": "typed"},
        tenant=tenant,
        requester=Requester(id=requester, name=requester.title()),
        platform="test",
        address={"channel": 7},
        key=key,
        parent=parent,
        audience=Audience(private=False),
    )


def a_job(tenant: str = "guild:a", requester: str = "ada", **changes: Any) -> Job:
    """Return a job that was just accepted."""
    values: dict[str, Any] = {
        "id": f"JOB{next(_ids):07}",
        "state": JobState.ACCEPTED,
        "spec": a_spec(),
        "origins": {"prompt": "typed"},
        "tenant": tenant,
        "requester": Requester(id=requester, name=requester.title()),
        "platform": "test",
        "address": {"channel": 7},
        "created_at": 1_790_000_000.0,
        "cost": JOB_SECONDS,
        "audience": Audience(private=False),
        "person": f"{tenant}:{requester}",
    }
    return Job(**values | changes)
