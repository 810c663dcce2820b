"""The ports to the job core, as commands and chats use it.

`inference.jobs.service.JobService` implements them. `tests/contract/test_jobs_contract.py` says
what every implementation promises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from inference.domain.job import Job, JobState, Order
from inference.domain.quota import Quota, Usage
from inference.domain.render import Progress
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome
from inference.jobs.estimates.progress import Outlook
from inference.jobs.forecast import QueuePosition

if TYPE_CHECKING:
    from inference.jobs.service import CancelOutcome


class Submit(Protocol):
    """Port for submitting, changing, cancelling and deleting jobs."""

    async def submit(self, order: Order) -> Job:
        """Accept a job, durably. Raises `UserError` with a `queue.*` code where a cap is hit."""
        ...

    async def revise(
        self,
        job_id: str,
        *,
        tenant: str,
        spec: Spec,
        origins: dict[str, str],
        quota: Quota | None = None,
        more: float = 0.0,
    ) -> Job | None:
        """Replace the spec of a waiting job; None when it no longer waits.

        The quota has to cover `more` GPU seconds besides: of others that are changed next.
        """
        ...

    async def agree(self, job_id: str, *, tenant: str, own_words: bool) -> Job | None:
        """Queue a job whose requester approved the prompt. None when it did not wait for that."""
        ...

    async def refine(
        self,
        words: str,
        *,
        mode: Mode,
        model: str,
        tenant: str,
        requester_id: str,
        flagged: Outcome = Outcome.DENY,
    ) -> str:
        """Return the refined prompt. Raises `AssistantError`."""
        ...

    async def cancel(self, job_id: str, *, tenant: str) -> CancelOutcome:
        """Take a job out of the queue or ask the worker to stop it. Raises `NotFound`."""
        ...

    async def remove(self, job_id: str, *, tenant: str) -> bool:
        """Delete the message and files of a finished job. Raises `NotFound`."""
        ...

    async def forget(self, *, tenant: str, requester_id: str) -> int:
        """Cancel and delete everything of a person; return how many jobs there were."""
        ...

    async def is_erasing(self, *, tenant: str, requester_id: str) -> bool:
        """Whether a job of an erased person is still being stopped."""
        ...


class Read(Protocol):
    """Port for reading jobs and the queue."""

    async def get(self, job_id: str, *, tenant: str) -> Job:
        """Return a job of the tenant. Raises `NotFound` for unknown and foreign ones alike."""
        ...

    async def together(self, job: Job) -> list[Job]:
        """Return the jobs of a job's batch, itself among them, in their order."""
        ...

    async def wait_past(
        self, jobs: Iterable[Job], states: Collection[JobState], *, seconds: float
    ) -> list[Job]:
        """Wait until no job is in one of these states, or time is up; return the jobs."""
        ...

    async def waiting(self, tenant: str) -> list[Job]:
        """Return the tenant's waiting and running jobs in the order of service."""
        ...

    async def recent(self, tenant: str, requester_id: str, *, limit: int) -> list[Job]:
        """Return the requester's jobs, newest first."""
        ...

    async def history(
        self, tenant: str, requester_id: str, *, words: str = "", limit: int, offset: int = 0
    ) -> list[Job]:
        """Return a page of the requester's jobs, newest first, whose prompts have these words."""
        ...

    async def usage(
        self,
        tenant: str,
        requester_id: str,
        *,
        since: float,
        person: str = "",
        person_since: float | None = None,
    ) -> Usage:
        """Return the GPU time charged since a time, and what is reserved now.

        With `person`, their name in all tenants, also what they used everywhere; that counts from
        `person_since` on, if it is given.
        """
        ...

    def cost(self, spec: Spec) -> float:
        """Return the GPU seconds that a render is expected to take."""
        ...

    def position(self, job_id: str) -> QueuePosition | None:
        """Return the queue position of a job, or None."""
        ...

    def waits_for_others(self, tenant: str) -> bool:
        """Whether a new job of this tenant would wait for jobs of other tenants."""
        ...

    def progress(self, job_id: str) -> Progress | None:
        """Return the progress of a running job, or None."""
        ...

    def outlook(self, job: Job) -> Outlook | None:
        """Return the progress of a rendered or delivered job, and when its file is ready."""
        ...

    def slot(self, job_id: str) -> str | None:
        """Return the name of the slot that renders a job; None where there is only one slot."""
        ...

    def extendable(self, job: Job) -> bool:
        """Whether a job's clip can still be extended: its latents are kept."""
        ...

    def files(self, job: Job) -> Path | None:
        """Return the finished file while it is kept."""
        ...

    @property
    def paused(self) -> bool:
        """Whether jobs are accepted but none is started."""
        ...

    @property
    def without_worker(self) -> bool:
        """Whether jobs wait because no worker starts."""
        ...

    @property
    def draining(self) -> bool:
        """Whether no new job is accepted."""
        ...


class Operate(Protocol):
    """Port for the operator's switches of the queue."""

    async def pause(self) -> None:
        """Pause the queue."""
        ...

    async def resume(self) -> None:
        """Accept and start jobs again."""
        ...

    async def drain(self) -> None:
        """Accept no further job; finish those in the queue."""
        ...


class Jobs(Submit, Read, Operate, Protocol):
    """The whole port to the job core: submit, read and operate."""
