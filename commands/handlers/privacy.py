"""/rushes forget-me: what a person asked for is theirs to take back."""

from __future__ import annotations

from commands.command import Command, Visibility
from commands.context import Call
from commands.options import CONFIRM
from commands.text import cards
from commands.text.card import Card


async def forget_me(call: Call) -> Card:
    """Delete what the caller made and set, once they said yes to it."""
    said = str(call.options.get(CONFIRM.name, call.text)).strip().casefold()
    if said not in CONFIRM.choices:
        return cards.note("forget.ask", call.locale)
    await call.policy.forget(call.channel.tenant, call.caller.id)
    count = await call.jobs.forget(tenant=call.channel.tenant, requester_id=call.caller.id)
    return cards.note("forget.done", call.locale, count=count)


COMMANDS = (
    Command(
        parent="rushes",
        name="forget-me",
        handler=forget_me,
        options=(CONFIRM,),
        visibility=Visibility.CALLER,
    ),
)
