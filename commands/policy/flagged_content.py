"""The policy of a channel on flagged content."""

from __future__ import annotations

from commands.caller import Channel
from commands.policy.settings import SAFETY, Flagged, Rules
from inference.domain.verdict import Outcome


def choose_outcome(rules: Rules, channel: Channel) -> Outcome:
    """Return what happens to flagged prompts, images and results in a channel."""
    match Flagged(rules.value(SAFETY)):
        case Flagged.SPOILER:
            return Outcome.SPOILER
        case Flagged.OFF_IN_AGE_RESTRICTED if channel.age_restricted:
            return Outcome.ALLOW
        case _:
            return Outcome.DENY
