"""What a handler gets: who asks what, where, and the services that answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from commands.caller import Caller, Channel
from commands.directory import Directory, OpenDirectory
from commands.installation import Installation
from commands.policy.settings import Rules
from commands.policy.stores import Policy
from commands.policy.visibility import Sight, Viewer, can_see, sight
from commands.schema import Value
from inference.clock import Clock, SystemClock
from inference.domain.errors import NotFound
from inference.domain.job import Job, Order
from inference.domain.quota import Quota, Usage
from inference.domain.render import Progress
from inference.domain.spec import Mode, Spec
from inference.domain.verdict import Outcome
from inference.jobs.forecast import QueuePosition

if TYPE_CHECKING:
    from inference.jobs.service import CancelOutcome


class Jobs(Protocol):
    """The part of `inference.jobs.service.JobService` that commands use. The contract is there."""

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

    async def submit(self, order: Order) -> Job:
        """Accept a job, durably. Raises `UserError` with a `queue.*` code where a cap is hit."""
        ...

    async def cancel(self, job_id: str, *, tenant: str) -> CancelOutcome:
        """Take a job out of line or ask the worker to stop it. Raises `NotFound`."""
        ...

    async def revise(
        self,
        job_id: str,
        *,
        tenant: str,
        spec: Spec,
        origins: dict[str, str],
        quota: Quota | None = None,
    ) -> Job | None:
        """Change what a waiting job is to show; None when it no longer waits."""
        ...

    async def remove(self, job_id: str, *, tenant: str) -> bool:
        """Take a finished file back. Raises `NotFound`."""
        ...

    async def agree(self, job_id: str, *, tenant: str, own_words: bool) -> Job | None:
        """Put a job in line that waited for its requester's word. None when it did not wait."""
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
        """Return what the assistant would make of a prompt. Raises `AssistantError`."""
        ...

    async def get(self, job_id: str, *, tenant: str) -> Job:
        """Return a job of the tenant. Raises `NotFound` for unknown and foreign ones alike."""
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
        """Return where a waiting job stands, if it does."""
        ...

    def progress(self, job_id: str) -> Progress | None:
        """Return how far a running job is, if it runs."""
        ...

    def seconds_left(self, job_id: str) -> float | None:
        """Return the estimate for a running job."""
        ...

    def extendable(self, job: Job) -> bool:
        """Return whether what a later clip can go on from is still kept."""
        ...

    def files(self, job: Job) -> Path | None:
        """Return the finished file while it is kept."""
        ...

    async def forget(self, *, tenant: str, requester_id: str) -> int:
        """Cancel and delete everything of a person; return how many jobs there were."""
        ...

    async def pause(self) -> None:
        """Start no further job."""
        ...

    async def resume(self) -> None:
        """Accept and start jobs again."""
        ...

    async def drain(self) -> None:
        """Accept no further job; finish those in line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    caller: Caller
    channel: Channel
    jobs: Jobs
    installation: Installation
    policy: Policy
    text: str = ""
    """What was typed after the command."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """What was set in a form, by option name; an image is the URL the platform keeps it under."""
    locale: str = "en"
    key: str | None = None
    """The platform's id of this request, so that a repeated one is the same job."""
    clock: Clock = field(default_factory=SystemClock)
    directory: Directory = field(default_factory=OpenDirectory)
    """What the chat knows about its people and places."""

    @property
    def person(self) -> str:
        """The caller by a name that is the same in every tenant of the platform."""
        return self.caller.person or f"{self.channel.platform}:{self.caller.id}"

    def person_named(self, person: str) -> str:
        """Return the same of another person of the tenant."""
        return self.directory.person(person) or f"{self.channel.platform}:{person}"

    async def job(self, job_id: str, *, at_least: Sight = Sight.ALL) -> Job:
        """Return a job that the caller may see. Handlers get jobs from here, not from `jobs`.

        Args:
            job_id: Its id.
            at_least: How much of it the caller must be allowed to see.

        Raises:
            NotFound: `job.unknown`; a hidden job is as unknown as one that never was.
        """
        job = await self.jobs.get(job_id, tenant=self.channel.tenant)
        if sight(job, await self.viewer([job])) < at_least:
            raise NotFound("job.unknown", job=job_id)
        return job

    async def visible(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those jobs that the caller may see, in their order."""
        listed = list(jobs)
        viewer = await self.viewer(listed)
        return [job for job in listed if can_see(job, viewer)]

    async def viewer(self, jobs: Iterable[Job]) -> Viewer:
        """Return the caller as one who looks at some jobs."""
        here = frozenset(filter(None, (self.channel.id, self.channel.room)))
        elsewhere = {
            job.audience.channel
            for job in jobs
            if not job.audience.private and job.requester.id != self.caller.id
        } - here
        return Viewer(
            tenant=self.channel.tenant,
            person=self.caller.id,
            channels=here,
            guest=self.caller.guest,
            operator=self.caller.operator,
            administers=self.directory.administers,
            turned_private=await self.directory.turned_private(elsewhere - {""}),
        )

    async def rules(self) -> Rules:
        """Return what is set for this caller in this channel."""
        return await self.policy.settings.rules(
            self.channel.tenant, channel=self.channel.id, person=self.caller.id
        )
