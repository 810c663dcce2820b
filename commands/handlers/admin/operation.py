"""The commands of admins and operators: /rushes-admin pause, resume, drain, cancel, block, unblock.

The GPU and its queue are shared by all tenants, so stopping them is for the operator; an admin
cancels jobs and blocks people in one tenant. The operator's blocks hold everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from commands.context import Call, Command, admin_command
from commands.handlers import queue
from commands.handlers.admin import people
from commands.handlers.arguments import read_arguments
from commands.options import JOB_TO_CANCEL, PERSON, REASON
from commands.parsing.values import shorten
from commands.policy.blocks import Block
from commands.schema import Permission
from commands.text import replies
from commands.text.card import Card
from inference.domain.errors import NotFound


async def pause(call: Call) -> Card:
    """Pause the queue."""
    await call.jobs.pause()
    return replies.note("admin.paused", call.locale)


async def resume(call: Call) -> Card:
    """Resume the queue."""
    await call.jobs.resume()
    return replies.note("admin.resumed", call.locale)


async def drain(call: Call) -> Card:
    """Drain the queue."""
    await call.jobs.drain()
    return replies.note("admin.draining", call.locale)


async def block(call: Call) -> Card:
    """Block a person from making things here; their jobs in the queue stay."""
    given = read_arguments(call, _BLOCK)
    whom = await people.resolve_person(call, str(given[_WHO.name]), given)
    block = Block(person=whom.person, reason=str(given.get(REASON.name, "")))
    await call.policy.blocks.put(whom.tenant, block, call.caller.requester)
    key = "admin.blocked_everywhere" if whom.everywhere else "admin.blocked"
    return replies.note(key, call.locale, person=whom.person)


async def unblock(call: Call) -> Card:
    """Lift the block of a person."""
    given = read_arguments(call, _UNBLOCK)
    typed, actor = str(given[_WHO.name]), call.caller.requester
    whom = await people.resolve_person(call, typed, given)
    lifted = await call.policy.blocks.lift(whom.tenant, whom.person, actor)
    if whom.everywhere:  # also one that an admin had set here
        here = call.directory.plain_id(typed)
        lifted |= await call.policy.blocks.lift(call.channel.tenant, here, actor)
    if not lifted:
        raise NotFound("admin.not_blocked", person=shorten(whom.person))
    key = "admin.unblocked_everywhere" if whom.everywhere else "admin.unblocked"
    return replies.note(key, call.locale, person=whom.person)


_WHO = replace(PERSON, required=True)
_BLOCK = (_WHO, REASON, *people.REACH)
_UNBLOCK = (_WHO, *people.REACH)


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    operator = partial(admin_command, permission=Permission.OPERATOR)
    return (
        operator(name="pause", handler=pause),
        operator(name="resume", handler=resume),
        operator(name="drain", handler=drain),
        admin_command(name="cancel", handler=queue.cancel_named, options=(JOB_TO_CANCEL,)),
        admin_command(name="block", handler=block, options=_BLOCK),
        admin_command(name="unblock", handler=unblock, options=_UNBLOCK),
    )
