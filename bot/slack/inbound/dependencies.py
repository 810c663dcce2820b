"""Dependencies of the listeners of one Slack app."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.platform import Services
from bot.slack.api.calls import Calls
from bot.slack.background import BackgroundTasks
from bot.slack.command_prefix import CommandPrefix
from bot.slack.inbound.answers import Answers
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.images import ImageFinder
from bot.slack.inbound.inbox import Inbox
from bot.slack.inbound.messages import LatestEdits
from bot.slack.installations import WorkspaceInstallations
from bot.slack.lookups.channels import Channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Injected into listeners as `deps`."""

    services: Services
    installations: WorkspaceInstallations
    channels: Channels
    gateway: CommandGateway
    answers: Answers
    calls: Calls
    prefix: CommandPrefix
    images: ImageFinder
    background: BackgroundTasks
    inbox: Inbox
    edits: LatestEdits = field(default_factory=LatestEdits)
