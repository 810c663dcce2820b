"""Context menus of messages: animate an image, or reuse the settings of a clip."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import discord

from bot.discord.inbound.images import find_image, has_video, parts
from commands.actions import Action, ButtonId
from commands.context import Call
from commands.forms import Field, Form
from commands.options import IMAGE, MAX_PROMPT, PROMPT
from commands.run import press
from commands.schema import Value
from commands.text import replies
from commands.text.card import Card
from commands.text.messages import text
from inference.domain.errors import UserError

ANIMATE = "v1:animate-image"
"""Id of the form that asks what to make of an image."""


async def animate(message: discord.Message, hosts: Collection[str], locale: str) -> Card | Form:
    """Open the form of `/animate` for a message's image.

    The image's address is a field of the form: it comes back with it even if the bot was restarted
    in between, and Discord shows other people's messages in this one moment only.
    """
    image = find_image(message, hosts)
    if image is None:
        only_video, nothing = UserError("discord.only_video"), UserError("discord.no_image")
        return replies.error(only_video if has_video(message) else nothing, locale)
    return Form(
        id=ANIMATE,
        title=text("discord.menu.animate", locale),
        fields=(
            Field(
                name=PROMPT.name,
                label=text("discord.form.prompt", locale),
                required=True,
                multiline=True,
                max_length=MAX_PROMPT,
            ),
            Field(
                name=IMAGE.name,
                label=text("discord.form.image", locale),
                value=image,
                required=True,
                max_length=MAX_PROMPT,
            ),
        ),
        submit=text("form.submit", locale),
    )


def animation(values: Mapping[str, str]) -> Mapping[str, Value]:
    """Return the options of `/animate` that the form of `animate` asks for."""
    return {name: values.get(name, "") for name in (PROMPT.name, IMAGE.name)}


async def settings(message: discord.Message, call: Call) -> Card | Form:
    """Open the edit form of the job whose buttons a message has."""
    job_id = job_of(message)
    if job_id is None:
        return replies.error(UserError("discord.no_job"), call.locale)
    return await press(ButtonId(action=Action.EDIT, job=job_id).encode(), call)


def job_of(message: discord.Message) -> str | None:
    """Return the job whose buttons a message has, or None."""
    return next(_jobs(message), None)


async def answer_outdated(locale: str) -> Card:
    """Answer that commands have changed since the person's Discord loaded them."""
    return replies.error(UserError("discord.outdated"), locale)


def _jobs(message: discord.Message) -> Iterator[str]:
    for part in parts(message):
        for component in _walk(part.components):
            button = ButtonId.read(getattr(component, "custom_id", None) or "")
            if button is not None and button.action.about_job:
                yield button.job


def _walk(components: Iterable[Any]) -> Iterator[Any]:
    """Yield components, and what is nested in them."""
    for component in components:
        yield component
        yield from _walk(getattr(component, "children", ()))
