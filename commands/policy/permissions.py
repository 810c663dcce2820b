"""Permissions: pure rules over (caller, channel, settings), each refusal one sentence.

Admins bypass the rules that they may change; quota and blocks hold for admins too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from commands.caller import Caller, Channel
from commands.options import FRAME_COUNT, RESOLUTION
from commands.parsing.values import label
from commands.policy.blocks import Block
from commands.policy.operator_rules import DirectMessages
from commands.policy.settings import (
    BUTTONS,
    CAPS,
    CHANNELS,
    EXTERNAL,
    ROLES,
    ButtonPolicy,
    Cap,
    ExternalPolicy,
    Rules,
)
from commands.refusal import Refusal
from commands.schema import Permission
from commands.specs.layers import CAPPED, COMMAND
from commands.specs.resolve import Resolved
from inference.domain.capabilities import Capabilities
from inference.domain.errors import UserError
from inference.domain.job import TYPED, Job
from inference.domain.spec import Spec
from inference.domain.untrusted_text import isolate


def check_may_render(
    caller: Caller,
    channel: Channel,
    rules: Rules,
    *,
    direct_messages: DirectMessages = DirectMessages.OPEN,
    block: Block | None = None,
) -> None:
    """Check that a caller may render in a channel.

    Args:
        caller: Who asks.
        channel: Where.
        rules: The settings in force there.
        direct_messages: The operator's rule.
        block: The caller's, by an admin or by the operator.

    Raises:
        UserError: `permission.*`, or what the platform cannot do there.
    """
    if channel.direct and direct_messages is DirectMessages.CLOSED:
        raise UserError("permission.direct_messages")
    if block is not None and block.reason:
        raise UserError("permission.blocked_because", reason=block.reason)
    if block is not None:
        raise UserError("permission.blocked")
    if channel.closed is not None:
        raise channel.closed
    if caller.may(Permission.ADMIN):
        return
    channels = rules.value(CHANNELS)
    if channels and channel.id not in channels:
        raise UserError("permission.channel")
    roles = rules.value(ROLES)
    if roles and caller.roles.isdisjoint(roles):
        raise UserError("permission.role")


def check_external(rules: Rules) -> None:
    """Check that a caller from another company may take part in a shared channel.

    Raises:
        UserError: `permission.external`.
    """
    if ExternalPolicy(rules.value(EXTERNAL)) is ExternalPolicy.DENY:
        raise UserError("permission.external")


def check_press(caller: Caller, job: Job, rules: Rules) -> None:
    """Check that a caller may use the buttons of a job.

    Raises:
        UserError: `permission.requester_only` or `permission.admins_only`.
    """
    if caller.may(Permission.ADMIN):
        return
    match ButtonPolicy(rules.value(BUTTONS)):
        case ButtonPolicy.REQUESTER if caller.id != job.requester.id:
            raise UserError("permission.requester_only", name=isolate(job.requester.name))
        case ButtonPolicy.ADMINS:
            raise UserError("permission.admins_only")
        case _:
            pass


def check_caps(spec: Spec, capabilities: Capabilities, caller: Caller, rules: Rules) -> None:
    """Check that a render is within the caps of a caller.

    Raises:
        Refusal: `cap.refused`, with the most that they may have of what the model can do.
    """
    for cap, limit in _binding(caller, rules):
        name = cap.option.name
        value = getattr(spec, name)
        if cap.rank(value) > cap.rank(limit):
            most = max(_lower(cap, limit, spec, capabilities), key=cap.rank, default=None)
            offers = () if most is None else ({name: most},)
            raise Refusal(
                "cap.refused", *offers, option=label(cap.option), value=value, limit=limit
            )


def apply_caps(resolved: Resolved, caller: Caller, rules: Rules) -> Resolved:
    """Lower values that this call did not set to the caller's caps.

    Raises:
        UserError: `cap.refused`: it was asked for, or the model has nothing small enough.
    """
    spec, origins = resolved.spec, dict(resolved.origins)
    for cap, limit in _binding(caller, rules):
        name = cap.option.name
        if cap.rank(getattr(spec, name)) <= cap.rank(limit) or origins.get(name) in {
            TYPED,
            COMMAND,
        }:
            continue
        if lower := _lower(cap, limit, spec, resolved.capabilities):
            spec = replace(spec, **{name: max(lower, key=cap.rank)})
            origins[name] = CAPPED
    check_caps(spec, resolved.capabilities, caller, rules)
    return replace(resolved, spec=spec, origins=origins)


def _lower(cap: Cap, limit: Any, spec: Spec, capabilities: Capabilities) -> list[Any]:
    """Return the values of an option that a limit leaves."""
    values = list_possible_values(cap, spec, capabilities) or [limit]
    return [value for value in values if cap.rank(value) <= cap.rank(limit)]


def list_possible_values(cap: Cap, spec: Spec, capabilities: Capabilities) -> list[Any]:
    """Return the values of an option with which the model makes the same kind of render.

    Empty where the model has no list of them.
    """
    if cap.option is RESOLUTION and spec.latents is not None:
        return [spec.resolution]  # an extension keeps its clip's size
    if cap.option is RESOLUTION:
        return [
            resolution
            for resolution in capabilities.resolutions
            if (resolution, spec.aspect) in capabilities.sizes
        ]
    if cap.option is FRAME_COUNT:
        return [
            frames
            for frames in capabilities.lengths
            if replace(spec, frames=frames).mode is spec.mode and (frames > 1) is (spec.frames > 1)
        ]
    return []


def _binding(caller: Caller, rules: Rules) -> list[tuple[Cap, Any]]:
    """Return the caps that hold for a caller, with their limits."""
    if caller.may(Permission.ADMIN):
        return []
    return [
        (cap, rules.value(cap.limit))
        for cap in CAPS
        if rules.value(cap.limit) is not None
        and caller.roles.isdisjoint(rules.value(cap.exempt) or ())
    ]
