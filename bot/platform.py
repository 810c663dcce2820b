"""The platform port: what a chat implements.

Discord, Slack and the terminal each implement it once. Further ones are named in the config as
`module:factory` (see `bot.app`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import BaseModel

from bot.health import Health
from commands.caller import Caller, Channel
from commands.context import Call, CommandSet, PictureCheck
from commands.directory import Directory, OpenDirectory
from commands.installation import Installation
from commands.policy.stores import Policy
from commands.schema import Value
from commands.text.card import Card
from commands.text.job_buttons import open_label
from inference.domain.events import EventBus
from inference.domain.job import Job
from inference.domain.outbox import ActKind, Route
from inference.jobs.input_files import ImageSource
from inference.jobs.service import JobService
from inference.store.sqlite.database import Database
from inference.workers.media.process import MediaProcess

Receipt = dict[str, Any]
"""What a platform needs to find its message again; JSON, opaque to all others."""

Remember = Callable[[dict[str, Any]], Awaitable[None]]
"""Commits what a half-done post must not forget, such as the id of an uploaded file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to post, or the newest state of one that is there."""

    key: str
    """Idempotency key, at most 25 characters; the same for every try."""
    kind: ActKind
    job: Job
    card: Card
    """What it says."""
    route: Route
    """Where to: the thread, the channel or the person."""
    card_receipt: Receipt | None = None
    """The posted card of the job: the thread hangs on it."""
    clip_receipt: Receipt | None = None
    """The posted file of the job, once it is there: the card links to it. Of jobs that were asked
    for together, the sheet or the first file."""
    clips: Mapping[int, Receipt] = field(default_factory=dict)
    """Of jobs that were asked for together, the posted file of each by its number; empty where one
    sheet shows them all."""
    together: Sequence[Job] = ()
    """The jobs that were asked for together, on their card."""
    preview: Path | None = None
    """A small JPEG: the newest still of a running job, or the poster of a finished one."""
    trace: dict[str, Any]
    """What an earlier, interrupted try remembered."""
    fleeting: bool = False
    """It may be skipped where the platform has little room: a newer state is sure to come."""

    def clip_links(self, locale: str) -> list[tuple[str, Receipt]]:
        """Return the label of each link from the card to a posted file, and where that is."""
        if self.clips:
            return [
                (open_label(self.job, locale, number=number), receipt)
                for number, receipt in self.clips.items()
            ]
        if not self.clip_receipt:
            return []
        return [(open_label(self.job, locale, sheet=bool(self.together)), self.clip_receipt)]

    @property
    def file(self) -> Path | None:
        """Its file, already small enough for `Platform.upload_limit`."""
        return self.card.attachment.path if self.card.attachment else None

    @property
    def spoiler(self) -> bool:
        """Whether the file must be hidden until a viewer asks to see it."""
        return self.card.attachment is not None and self.card.attachment.spoiler


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a platform needs of the rest: jobs, settings, health, and calls of commands."""

    jobs: JobService
    installation: Installation
    policy: Policy
    commands: CommandSet
    language: str
    database: Database
    """For tables of the platform's own."""
    operators: frozenset[str] = frozenset()
    """Who runs the machine: `<platform>:<id of the person there>`."""
    health: Health = field(default_factory=Health)
    """Where a platform reports what keeps it from working."""
    events: EventBus = field(default_factory=EventBus)
    """Events of jobs, as they happen."""
    media: MediaProcess | None = None
    """Makes stills of finished clips."""
    plugin_configs: Mapping[str, BaseModel] = field(default_factory=dict)
    """The checked sections `[plugins.NAME]` by name."""

    def is_operator(self, platform: str, person: str) -> bool:
        """Whether a person operates this installation."""
        return f"{platform}:{person}" in self.operators

    def call(
        self,
        *,
        caller: Caller,
        channel: Channel,
        locale: str,
        key: str | None,
        options: Mapping[str, Value] = MappingProxyType({}),
        directory: Directory = OpenDirectory(),  # noqa: B008 - it has no state
        check_picture: PictureCheck | None = None,
    ) -> Call:
        """Return a call of the commands; see `Call` for the arguments."""
        return Call(
            caller=caller,
            channel=channel,
            jobs=self.jobs,
            installation=self.installation,
            policy=self.policy,
            commands=self.commands,
            options=options,
            locale=locale,
            key=key,
            directory=directory,
            check_picture=check_picture,
            database=self.database,
            plugin_configs=self.plugin_configs,
        )

    async def cancel_all(self, tenant: str) -> None:
        """Cancel the unfinished jobs of a tenant that removed the app."""
        for job in await self.jobs.waiting(tenant):
            await self.jobs.cancel(job.id, tenant=tenant)


class Platform(Protocol):
    """One chat service."""

    @property
    def name(self) -> str:
        """Key of jobs and outbox rows: "discord", "slack", "terminal"."""
        ...

    @property
    def images(self) -> ImageSource:
        """Where reference images of this platform's jobs are fetched from."""
        ...

    @property
    def connected(self) -> bool:
        """Whether people can reach it now."""
        ...

    async def run(self, services: Services) -> None:
        """Stay connected and serve requests until cancelled."""
        ...

    async def upload_limit(self, job: Job) -> int:
        """Return how many bytes a file for this job may have."""
        ...

    async def post(self, message: Outgoing, remember: Remember) -> Receipt:
        """Post a message and return its receipt.

        Called again with the same key after a failure or a restart, it must not post twice where
        the platform offers any means against that.

        Raises:
            DeliveryError: `transient` to be called again later; else this route is closed.
                Code `delivery.too_large`: the file must be smaller than was claimed.
        """
        ...

    async def edit(self, receipt: Receipt, message: Outgoing) -> None:
        """Edit a posted message to its newest state.

        Raises:
            DeliveryError: Not `transient` when the message is gone.
        """
        ...

    async def remove(self, receipt: Receipt, job: Job) -> None:
        """Delete a posted message, with its file; one that is gone already is fine.

        Raises:
            DeliveryError: `transient` to be called again later; else it stays.
        """
        ...

    async def find(self, message: Outgoing) -> Receipt | None:
        """Return the receipt of a message that an interrupted try may have posted, if it did.

        Raises:
            DeliveryError: The platform cannot be asked now, or does not say (`repeatable` where
                `post` may be called all the same).
        """
        ...
