"""What the listeners of one Slack app need, as one argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.platform import Services
from bot.slack.api.calls import Calls
from bot.slack.background import BackgroundTasks
from bot.slack.channels import Channels
from bot.slack.inbound.answers import Answers
from bot.slack.inbound.command_gateway import CommandGateway
from bot.slack.inbound.messages import LatestEdits
from bot.slack.inbound.pictures import Pictures
from bot.slack.installations import Installations


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Injected into listeners as `deps`."""

    services: Services
    installations: Installations
    channels: Channels
    gateway: CommandGateway
    answers: Answers
    calls: Calls
    pictures: Pictures
    background: BackgroundTasks
    edits: LatestEdits = field(default_factory=LatestEdits)
