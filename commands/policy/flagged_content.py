"""The policy of a channel on flagged content."""

from __future__ import annotations

from commands.caller import Channel
from commands.policy.settings import SAFETY, FlaggedPolicy, Rules
from inference.domain.verdict import Outcome


def choose_outcome(rules: Rules, channel: Channel) -> Outcome:
    """Return what happens to flagged prompts, images and results in a channel."""
    match FlaggedPolicy(rules.value(SAFETY)):
        case FlaggedPolicy.SPOILER:
            return Outcome.SPOILER
        case FlaggedPolicy.OFF_IN_AGE_RESTRICTED if channel.age_restricted:
            return Outcome.ALLOW
        case _:
            return Outcome.DENY
