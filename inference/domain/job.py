"""A job: one request for one render, from acceptance to its end. Frozen; `replace` makes changes.

```
accepted ─► preparing ─► [review] ─► queued ─► running ─► finishing ─► delivering ─► done
     └──────────┴────────────┴─────────┴─ cancelled, expired, refused, failed ─┘
```

Persisting `accepted` is acceptance: from there a job is never lost. `running` and `finishing` go
back to `queued` when their worker is lost, until `MAX_LOSSES`. Who edits what they asked for
takes a waiting job from `review` or `queued` back to `preparing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from inference.domain.output_settings import OutputSettings
from inference.domain.quota import Quota
from inference.domain.render import Manifest
from inference.domain.spec import Spec
from inference.domain.verdict import Verdict

MAX_LOSSES = 2
"""A job that took its worker down this often is failed: it would only do it again."""

MAX_ATTEMPTS = 8
"""A restart of the bot is not the job's fault, but nothing is tried for ever."""


TYPED = "typed"
"""Origin of what the requester set themselves in this very request; never overruled."""

RANDOM = "random"
"""Origin of what was drawn by lot."""

ASSISTANT = "assistant"
"""Origin of a prompt that the assistant wrote; it is not asked again."""

LANGUAGE = "language"
"""Origin of a `refine` that the language of the prompt switched on."""

DRAFT = "draft"
"""Origin of what `--draft` made cheaper, and of what a finished clip has from its draft."""

MEMORY = "memory"
"""Origin of a size or length that is the largest that fits; its requester has to agree to it."""


KEPT_TOO_LARGE = "kept_too_large"
"""Note on a job whose file could not be made small enough to be posted."""

KEPT_CLOSED = "kept_closed"
"""Note on a job whose file no route took."""

KEPT_UNSEEN = "kept_unseen"
"""Note on a job whose file may have been posted, where nobody may look."""


class JobState(StrEnum):
    """State of a job; `ENDED` holds the final ones."""

    ACCEPTED = "accepted"
    """Persisted; nothing done yet."""
    PREPARING = "preparing"
    """Fetching and checking the image, moderating, refining: outside the GPU queue."""
    REVIEW = "review"
    """Waits for the person to agree to the refined prompt."""
    QUEUED = "queued"
    """In the queue for the GPU."""
    RUNNING = "running"
    """The worker has it."""
    FINISHING = "finishing"
    """The file is complete on disk; somebody looks at it before it may go out."""
    DELIVERING = "delivering"
    """The outbox owns it until the platform has it."""
    DONE = "done"
    """Posted, or kept for `/rushes show` where no route took it."""
    REFUSED = "refused"
    """A check found a reason not to render it, or not to show what was rendered."""
    FAILED = "failed"
    """The render did not work out; `error_code` says why."""
    CANCELLED = "cancelled"
    """Stopped on request; nothing is posted."""
    EXPIRED = "expired"
    """Waited or ran past its deadline."""


ENDED = frozenset(
    {JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)
WAITING = frozenset({JobState.ACCEPTED, JobState.PREPARING, JobState.REVIEW, JobState.QUEUED})
"""States that count against the caps on waiting jobs."""

UNPREPARED = frozenset({JobState.ACCEPTED, JobState.PREPARING})
"""Waiting states in which a job cannot be changed."""

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.ACCEPTED: frozenset(
        {JobState.PREPARING, JobState.CANCELLED, JobState.FAILED, JobState.EXPIRED}
    ),
    JobState.PREPARING: frozenset(
        {
            JobState.REVIEW,
            JobState.QUEUED,
            JobState.REFUSED,
            JobState.CANCELLED,
            JobState.FAILED,
            JobState.EXPIRED,
        }
    ),
    JobState.REVIEW: frozenset(
        {JobState.PREPARING, JobState.QUEUED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.QUEUED: frozenset(
        {
            JobState.PREPARING,
            JobState.RUNNING,
            JobState.CANCELLED,
            JobState.FAILED,
            JobState.EXPIRED,
        }
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.FINISHING,
            JobState.QUEUED,
            JobState.CANCELLED,
            JobState.FAILED,
            JobState.EXPIRED,
        }
    ),
    JobState.FINISHING: frozenset(
        {JobState.DELIVERING, JobState.QUEUED, JobState.REFUSED, JobState.FAILED}
    ),
    JobState.DELIVERING: frozenset({JobState.DONE, JobState.FAILED}),
    **{state: frozenset() for state in ENDED},
}
"""Every legal change of state; `jobs.transitions` has one function for each use."""

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no 0/O, 1/I/L, U: people read ids aloud


_ID_LENGTH = 10


def new_job_id() -> str:
    """Return an unguessable id of 10 characters (about 49 bits) that people can read aloud."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def is_job_id(name: str) -> bool:
    """Return whether a name has the form of `new_job_id`."""
    return len(name) == _ID_LENGTH and all(letter in _ALPHABET for letter in name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """The person who asked, as the platform identifies them."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Reason of a failed job: catalog code and parameters."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who may see a job besides its requester: its channel, and whether only that one's members.

    What a platform does not say is taken to be private, so that a mistake hides and never shows.
    """

    channel: str = ""
    """Id of the channel, conversation or private thread; empty where it is not known."""
    private: bool = True
    """Whether it is for the people in that channel only; otherwise for the whole tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Input of `JobService.submit`: everything needed to create a job."""

    spec: Spec
    origins: dict[str, str]
    """Option name -> layer its value came from."""
    tenant: str
    """Key of fair sharing: guild, team, or user for direct messages; platform-prefixed."""
    requester: Requester
    platform: str
    address: dict[str, Any]
    """Where to answer; opaque here, written and read by the platform."""
    key: str | None = None
    """Idempotency key: a second order with the same key is the first job again."""
    parent: str | None = None
    """Job this one was made from (reroll, edit, extend)."""
    audience: Audience = field(default_factory=Audience)
    """Who may see it besides the requester."""
    person: str = ""
    """The requester by a name that is the same in every tenant; empty if they have none."""
    output: OutputSettings = field(default_factory=OutputSettings)
    """How the guild wants the finished file."""
    quota: Quota | None = None
    """GPU time that requester and tenant may use, where that is limited."""
    review: bool = False
    """Whether the requester wants to agree to a refined prompt before it is queued."""
    count: int = 1
    """How many jobs it is, each with the next seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job, as stored in one row of `jobs`."""

    id: str
    state: JobState
    spec: Spec
    origins: dict[str, str]
    tenant: str
    requester: Requester
    platform: str
    address: dict[str, Any]
    created_at: float
    """Unix seconds, as all times here."""
    cost: float
    """Estimated GPU seconds, the currency of fair sharing."""
    attempt: int = 0
    """Times the GPU took it; also the name of the attempt's folder."""
    losses: int = 0
    """Times its worker died or hung with it."""
    sequence: int = 0
    """Order of entering the queue; kept across restarts."""
    key: str | None = None
    parent: str | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cancel_requested_at: float | None = None
    removed_at: float | None = None
    """When the finished file was taken back."""
    failure: Failure | None = None
    manifest: Manifest | None = None
    slot: str | None = None
    """Name of the slot that took it last."""
    device: str | None = None
    """Kind of the device that made its file, by name."""
    output: OutputSettings = field(default_factory=OutputSettings)
    notes: tuple[str, ...] = ()
    """Catalog codes of remarks that preparing has for the requester."""
    review: bool = False
    audience: Audience = field(default_factory=Audience)
    person: str = ""
    """See `Order.person`."""
    verdict: Verdict = field(default_factory=Verdict)
    """What the checks found so far; they never deny what goes on."""
    batch: str | None = None
    """Id of the first of the jobs that were asked for together: its card stands for all."""
    number: int = 1
    """Which of them this is, from 1."""

    @property
    def ended(self) -> bool:
        """Whether the job is in a final state."""
        return self.state in ENDED

    @property
    def card_of(self) -> str:
        """Id of the job whose card shows this one."""
        return self.batch or self.id

    @property
    def made_to_fit(self) -> bool:
        """Whether it was shortened or shrunk to fit the GPU's memory."""
        return MEMORY in self.origins.values()

    def in_own_words(self) -> Job:
        """Return the job with its requester's prompt, which is not refined again."""
        spec = replace(self.spec, prompt=self.spec.own_words, original=None, refine=False)
        origins = {name: origin for name, origin in self.origins.items() if name != "prompt"}
        return replace(self, spec=spec, origins={**origins, "refine": TYPED})
