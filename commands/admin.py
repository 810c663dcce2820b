"""The commands of those in charge: /rushes-admin pause, resume, drain, cancel, block, unblock.

The GPU and its line are shared by all tenants, so stopping them is for the operator; an admin
cancels jobs and blocks people of their own tenant.
"""

from __future__ import annotations

from dataclasses import replace

from commands import cards, queue
from commands.arguments import arguments
from commands.blocks import Block
from commands.card import Card
from commands.context import Call
from commands.options import JOB_TO_CANCEL, PERSON, REASON
from commands.schema import Command, Permission, Visibility
from commands.settings import plain_id
from commands.values import shown
from inference.errors import NotFound

PARENT = "rushes-admin"


async def pause(call: Call) -> Card:
    """Start no further job."""
    await call.jobs.pause()
    return cards.note("admin.paused", call.locale)


async def resume(call: Call) -> Card:
    """Accept and start jobs again."""
    await call.jobs.resume()
    return cards.note("admin.resumed", call.locale)


async def drain(call: Call) -> Card:
    """Accept no further job and finish those in line."""
    await call.jobs.drain()
    return cards.note("admin.draining", call.locale)


async def block(call: Call) -> Card:
    """Let somebody make nothing more here; what they have in line stays."""
    given = arguments(call, _BLOCK)
    person, reason = plain_id(str(given[_WHO.name])), str(given.get(REASON.name, ""))
    await call.policy.blocks.put(
        call.channel.tenant, Block(person=person, reason=reason), call.caller.requester
    )
    return cards.note("admin.blocked", call.locale, person=person)


async def unblock(call: Call) -> Card:
    """Let somebody make things again."""
    person = plain_id(str(arguments(call, (_WHO,))[_WHO.name]))
    lifted = await call.policy.blocks.lift(call.channel.tenant, person, call.caller.requester)
    if not lifted:
        raise NotFound("admin.not_blocked", person=shown(person))
    return cards.note("admin.unblocked", call.locale, person=person)


_WHO = replace(PERSON, required=True)
_BLOCK = (_WHO, REASON)

COMMANDS = (
    Command(
        parent=PARENT,
        name="pause",
        handler=pause,
        visibility=Visibility.CALLER,
        permission=Permission.OPERATOR,
    ),
    Command(
        parent=PARENT,
        name="resume",
        handler=resume,
        visibility=Visibility.CALLER,
        permission=Permission.OPERATOR,
    ),
    Command(
        parent=PARENT,
        name="drain",
        handler=drain,
        visibility=Visibility.CALLER,
        permission=Permission.OPERATOR,
    ),
    Command(
        parent=PARENT,
        name="cancel",
        handler=queue.cancel_named,
        options=(JOB_TO_CANCEL,),
        visibility=Visibility.CALLER,
        permission=Permission.ADMIN,
    ),
    Command(
        parent=PARENT,
        name="block",
        handler=block,
        options=_BLOCK,
        visibility=Visibility.CALLER,
        permission=Permission.ADMIN,
    ),
    Command(
        parent=PARENT,
        name="unblock",
        handler=unblock,
        options=(_WHO,),
        visibility=Visibility.CALLER,
        permission=Permission.ADMIN,
    ),
)
