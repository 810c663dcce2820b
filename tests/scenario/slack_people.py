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
    before: list[Asked] = field(default_factory=list)
    """What they certainly asked for."""

    async def ask(self, words: str) -> Asked:
        """Ask for something in words that nobody else uses."""
        how = self.dice.choices(list(_WAYS), [weight for weight, _ in _WAYS.values()])[0]
        asked = Asked(
            by=self.person,
            how=how,
            words=words,
            channel=self.dice.choice(self.channels),
            at=time.monotonic(),
        )
        try:
            asked.doubt = await _WAYS[how][1](self, asked)
        except Refused as refused:
            asked.doubt = str(refused)
        asked.done_at = time.monotonic()
        if asked.doubt is None:
            self.before.append(asked)
        return asked

    def button(self, verb: str) -> tuple[Asked, Message, str] | None:
        """Return a button under something that they got, if it came already."""
        if not self.before:
            return None
        one = self.dice.choice(self.before)
        for card in one.channel.messages:
            if card.metadata and one.words in card.words.split():
                name = f"v1:{verb}:{card.metadata['event_payload']['job']}"
                for message in one.channel.messages:
                    if name in {button["action_id"] for button in message.buttons}:
                        return one, message, name
        return None


Way = Callable[[Customer, Asked], Awaitable[str | None]]
"""Asks, and returns what makes it doubtful that it was heard."""


async def _command(customer: Customer, asked: Asked) -> str | None:
    text = f"{asked.words} &lt;in&gt; *snow* &amp; @here {FLAGS}"
    return _heard(await customer.person.command(asked.channel, "/generate", text))


async def _form(customer: Customer, asked: Asked) -> str | None:
    reply = await customer.person.command(asked.channel, "/generate")
    return await _fill_in(customer, asked, reply)


async def _shortcut(customer: Customer, asked: Asked) -> str | None:
    reply = await customer.person.shortcut(GENERATE)
    return await _fill_in(customer, asked, reply, channel=asked.channel.id)


async def _home(customer: Customer, asked: Asked) -> str | None:
    person = customer.person
    await person.open_home()
    try:
        home = await person.wait_for_home(MODAL_SECONDS)
    except AssertionError:
        return "no home came"
    reply = await person.click(home, GENERATE)
    return await _fill_in(customer, asked, reply, channel=asked.channel.id)


async def _message_shortcut(customer: Customer, asked: Asked) -> str | None:
    shown = customer.person.say(asked.channel, "look", files=[picture()])
    reply = await customer.person.message_shortcut(ANIMATE, shown)
    return await _fill_in(customer, asked, reply, frames="49")


async def _mention(customer: Customer, asked: Asked) -> str | None:
    text = f"{asked.words} with <@{customer.person.id}> {FLAGS}"
    customer.person.mention_app(asked.channel, text)
    return None


async def _mention_in_thread(customer: Customer, asked: Asked) -> str | None:
    above = customer.person.say(asked.channel, "what about a fox?", files=[picture()])
    text = f"{asked.words} --res 360p --frames 49"
    customer.person.mention_app(asked.channel, text, thread=above)
    return None


async def _direct_message(customer: Customer, asked: Asked) -> str | None:
    asked.channel = customer.person.dm
    customer.person.say(asked.channel, f"{asked.words} {FLAGS}")
    return None


async def _edit(customer: Customer, asked: Asked) -> str | None:
    found = customer.button("edit")
    if found is None:
        return await _command(customer, asked)
    before, message, button = found
    asked.channel = before.channel
    return await _fill_in(customer, asked, await customer.person.click(message, button))


async def _reroll(customer: Customer, asked: Asked) -> str | None:
    found = customer.button("reroll")
    if found is None:
        return await _command(customer, asked)
    before, message, button = found
    asked.channel, asked.words = before.channel, before.words
    return _heard(await customer.person.click(message, button))


_WAYS: dict[str, tuple[int, Way]] = {
    "command": (6, _command),
    "form": (3, _form),
    "shortcut": (2, _shortcut),
    "home": (1, _home),
    "message shortcut": (1, _message_shortcut),
    "mention": (4, _mention),
    "mention in a thread": (2, _mention_in_thread),
    "direct message": (2, _direct_message),
    "edit": (1, _edit),
    "reroll": (2, _reroll),
}
"""Every way in, and how usual it is."""


async def _fill_in(customer: Customer, asked: Asked, reply: Reply, **more: str) -> str | None:
    person = customer.person
    try:
        modal = await person.wait_for_modal(
            lambda view: view.trigger_id == reply.trigger_id, MODAL_SECONDS
        )
    except AssertionError:
        return _heard(reply) or "no form came"
    fields = {block["block_id"] for block in modal.content["blocks"]}
    answers = {**STILL, "prompt": asked.words, **more}
    done = await person.submit(modal, {k: v for k, v in answers.items() if k in fields})
    return _heard(done) or (f"the form says {done.payload}" if modal.open else None)


def _heard(reply: Reply) -> str | None:
    return None if reply.acknowledged else "not acknowledged"
