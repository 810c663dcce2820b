"""All the ways in which people ask for clips on Slack."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from PIL import Image

from tests.fakes.slack import Person, Refused, Reply
from tests.fakes.slack.model import Channel, Message
from tests.scenario.slack_verdict import Asked

FLAGS = "--res 360p --frames 1"
"""A still: the day is about the chat, not about the GPU."""

STILL = {"resolution": "360p", "frames": "1"}
"""The same in a form."""

GENERATE, ANIMATE = "rushes:generate", "rushes:animate"

MODAL_SECONDS = 10.0


def picture() -> tuple[str, bytes]:
    """Return a picture as people have them."""
    data = io.BytesIO()
    Image.new("RGB", (320, 180), "orange").save(data, "PNG")
    return "orange.png", data.getvalue()


@dataclass(kw_only=True)
class Customer:
    """Somebody with a random way of asking."""

    person: Person
    channels: list[Channel]
    dice: random.Random
    clips: list[Message] = field(default_factory=list)
    """What they got."""

    async def ask(self, number: int) -> Asked:
        """Ask for something that nobody else asks for."""
        how = self.dice.choices(list(_WAYS), [weight for weight, _ in _WAYS.values()])[0]
        asked = Asked(
            by=self.person,
            how=how,
            words=f"fox{number:04d}",
            channel=self.dice.choice(self.channels),
            at=time.monotonic(),
        )
        try:
            asked.sure = await _WAYS[how][1](self, asked)
        except Refused:
            asked.sure = False
        return asked


Way = Callable[[Customer, Asked], Awaitable[bool]]


async def _command(customer: Customer, asked: Asked) -> bool:
    text = f"{asked.words} &lt;in&gt; *snow* &amp; @here {FLAGS}"
    return (await customer.person.command(asked.channel, "/generate", text)).acknowledged


async def _form(customer: Customer, asked: Asked) -> bool:
    reply = await customer.person.command(asked.channel, "/generate")
    return await _fill_in(customer, asked, reply)


async def _shortcut(customer: Customer, asked: Asked) -> bool:
    reply = await customer.person.shortcut(GENERATE)
    return await _fill_in(customer, asked, reply, channel=asked.channel.id)


async def _home(customer: Customer, asked: Asked) -> bool:
    person = customer.person
    await person.open_home()
    home = await person.wait_for_home(MODAL_SECONDS)
    reply = await person.click(home, GENERATE)
    return await _fill_in(customer, asked, reply, channel=asked.channel.id)


async def _message_shortcut(customer: Customer, asked: Asked) -> bool:
    shown = customer.person.say(asked.channel, "look", files=[picture()])
    reply = await customer.person.message_shortcut(ANIMATE, shown)
    return await _fill_in(customer, asked, reply, frames="49")


async def _mention(customer: Customer, asked: Asked) -> bool:
    text = f"{asked.words} with <@{customer.person.id}> {FLAGS}"
    customer.person.mention_app(asked.channel, text)
    return True


async def _mention_in_thread(customer: Customer, asked: Asked) -> bool:
    above = customer.person.say(asked.channel, "what about a fox?", files=[picture()])
    text = f"{asked.words} --res 360p --frames 49"
    customer.person.mention_app(asked.channel, text, thread=above)
    return True


async def _direct_message(customer: Customer, asked: Asked) -> bool:
    asked.channel = customer.person.dm
    customer.person.say(asked.channel, f"{asked.words} {FLAGS}")
    return True


_WAYS: dict[str, tuple[int, Way]] = {
    "command": (6, _command),
    "form": (3, _form),
    "shortcut": (2, _shortcut),
    "home": (1, _home),
    "message shortcut": (1, _message_shortcut),
    "mention": (4, _mention),
    "mention in a thread": (2, _mention_in_thread),
    "direct message": (2, _direct_message),
}
"""Every way in, and how usual it is."""


async def _fill_in(customer: Customer, asked: Asked, reply: Reply, **more: str) -> bool:
    if not reply.acknowledged:
        return False
    person = customer.person
    try:
        modal = await person.wait_for_modal(seconds=MODAL_SECONDS)
    except AssertionError:
        return False  # the bot was killed meanwhile; the verdict counts the others
    fields = {block["block_id"] for block in modal.content["blocks"]}
    answers = {**STILL, "prompt": asked.words, **more}
    done = await person.submit(modal, {k: v for k, v in answers.items() if k in fields})
    return done.acknowledged and not person.modal
