"""The commands of those in charge: /rushes-admin pause, resume, drain, cancel, block, unblock.

The GPU and its line are shared by all tenants, so stopping them is for the operator; an admin
cancels jobs and blocks people of their own tenant. The operator's blocks hold everywhere.
"""

from __future__ import annotations

from dataclasses import replace

from commands.command import Command, Visibility
from commands.context import Call
from commands.handlers import people, queue
from commands.handlers.arguments import arguments
from commands.options import JOB_TO_CANCEL, PERSON, REASON
from commands.parsing.values import shown
from commands.policy.blocks import Block
from commands.policy.settings_values import plain_id
from commands.schema import Permission
from commands.text import cards
from commands.text.card import Card
from inference.domain.errors import NotFound

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
    whom = await people.named(call, str(given[_WHO.name]), given)
    block = Block(person=whom.person, reason=str(given.get(REASON.name, "")))
    await call.policy.blocks.put(whom.tenant, block, call.caller.requester)
    key = "admin.blocked_everywhere" if whom.everywhere else "admin.blocked"
    return cards.note(key, call.locale, person=whom.person)


async def unblock(call: Call) -> Card:
    """Let somebody make things again."""
    given = arguments(call, _UNBLOCK)
    typed, actor = str(given[_WHO.name]), call.caller.requester
    whom = await people.named(call, typed, given)
    lifted = await call.policy.blocks.lift(whom.tenant, whom.person, actor)
    if whom.everywhere:  # also one that an admin had set here
        here = plain_id(typed)
        lifted |= await call.policy.blocks.lift(call.channel.tenant, here, actor)
    if not lifted:
        raise NotFound("admin.not_blocked", person=shown(whom.person))
    key = "admin.unblocked_everywhere" if whom.everywhere else "admin.unblocked"
    return cards.note(key, call.locale, person=whom.person)


_WHO = replace(PERSON, required=True)
_BLOCK = (_WHO, REASON, *people.REACH)
_UNBLOCK = (_WHO, *people.REACH)

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
        options=_UNBLOCK,
        visibility=Visibility.CALLER,
        permission=Permission.ADMIN,
    ),
)
