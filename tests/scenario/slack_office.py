"""Two workspaces of a loopback Slack, and the outbox's way out to them."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.platform import Outgoing
from bot.slack.address import Address
from bot.slack.api.calls import Calls
from bot.slack.api.clients import Clients, Credentials
from bot.slack.api.rate_limits import Limiter
from bot.slack.inbound.images import ImageFetcher
from bot.slack.installations import WorkspaceInstallation
from bot.slack.outbound.files import Files
from bot.slack.outbound.messages import Poster
from commands.text import cards
from commands.text.cards import JobStatus
from inference.clock import SystemClock
from inference.domain.errors import DeliveryError
from inference.domain.job import Job
from inference.domain.outbox import ActKind, Route
from inference.store.sqlite.database import open_database
from tests.fakes.orders import a_job, a_spec
from tests.fakes.slack import LoopbackSlack

SETTLE_SECONDS = (0.05, 0.1, 0.2, 0.4)
CLIP = bytes(range(256)) * 400


class Killed(Exception):
    """The process ends here."""


@dataclass
class Office:
    """Two workspaces with the app in them, and the ways out under test."""

    slack: LoopbackSlack
    directory: Path
    poster: Poster = field(init=False)
    images: ImageFetcher = field(init=False)

    def __post_init__(self):
        self.acme, self.far = self.slack.add_team("acme"), self.slack.add_team("far")
        self.installed = {team.id: team.install() for team in (self.acme, self.far)}
        self.ann = self.acme.add_user("ann")
        self.bea = self.far.add_user("bea")
        self.general = self.acme.add_channel("general", self.ann)
        self.kept: dict[str, Any] = {}
        """What the outbox committed for the message in hand."""

    @contextlib.asynccontextmanager
    async def open(self):
        """Start the process."""
        clock = SystemClock()
        clients = Clients(Credentials(), api_base_url=self.slack.api_base_url)
        async with (
            open_database(self.directory / "rushes.db") as database,
            clients.connect(database) as installations,
        ):
            for team, installed in self.installed.items():
                await installations.keep(
                    WorkspaceInstallation(
                        team=team,
                        bot_id=installed.bot_id,
                        bot_user=installed.bot.id,
                        token=installed.token,
                    )
                )
            calls = Calls(clients, Limiter(clock, since=clock.monotonic() - 60))
            self.poster = Poster(calls, Files(calls, clock, settle_seconds=SETTLE_SECONDS))
            self.images = ImageFetcher(calls, clock)
            yield self

    def job(self, person=None, channel=None, *, thread_ts=None, **changes: Any) -> Job:
        person, channel = person or self.ann, channel or self.general
        address = Address(
            team=person.user.team.id, channel=channel.id, thread_ts=thread_ts, user=person.id
        )
        changes.setdefault("spec", a_spec(prompt="<!channel> & *friends*"))
        return a_job(requester=person.id, platform="slack", address=asdict(address), **changes)

    def card(self, job: Job, **changes: Any) -> Outgoing:
        drawn = cards.status(job, JobStatus(now=job.created_at), "en")
        values = {"kind": ActKind.CARD, "card": drawn, "route": Route.CHANNEL, "trace": {}}
        return Outgoing(key=f"{job.id}:card", job=job, **values | changes)

    def clip(self, job: Job, card=None, **changes: Any) -> Outgoing:
        path = self.directory / "clip.mp4"
        path.write_bytes(CLIP)
        values = {
            "kind": ActKind.CLIP,
            "card": cards.clip(job, path, "en"),
            "card_receipt": card,
            "route": Route.THREAD,
            "trace": dict(self.kept),
        }
        return Outgoing(key=f"{job.id}:clip", job=job, **values | changes)

    async def remember(self, trace):
        self.kept |= trace

    async def remember_and_die(self, trace):
        self.kept |= trace
        raise Killed

    async def post(self, message: Outgoing, remember=None):
        return await self.poster.post(message, remember or self.remember)

    def clips(self, channel=None):
        return [m for m in (channel or self.general).messages if m.files and not m.deleted]


@contextlib.asynccontextmanager
async def open_office(directory: Path):
    """Open an office in a Slack of its own, which must have nothing to complain about."""
    async with LoopbackSlack(share_seconds=0.15) as slack:
        async with Office(slack, directory).open() as office:
            yield office
        assert slack.violations == []


async def refusal(call) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await call
    return caught.value


async def carded(office, **kwargs):
    job = office.job(**kwargs)
    return job, await office.post(office.card(job))


async def uploaded(office, job):
    """Leave a file behind that was completed in vain."""
    office.slack.hub.faults.never_shared = 1.0
    with pytest.raises(Killed):
        await office.post(office.clip(job, route=Route.CHANNEL), office.remember_and_die)
    return office.kept["file_id"]


def hidden(office, job, card=None, **changes):
    message = office.clip(job, card, **changes)
    attachment = replace(message.card.attachment, spoiler=True)
    return replace(message, card=replace(message.card, attachment=attachment))
