"""The commands of those in charge: /rushes-admin pause, resume, drain, cancel.

The GPU and its line are shared by all tenants, so stopping them is for the operator; an admin
cancels jobs of their own tenant.
"""

from __future__ import annotations

from commands import cards, queue
from commands.card import Card
from commands.context import Call
from commands.options import JOB_TO_CANCEL
from commands.schema import Command, Permission, Visibility

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
)
