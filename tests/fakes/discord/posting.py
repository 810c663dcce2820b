"""How a request's form becomes a message, or changes one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord.entities import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    SUPPRESS_NOTIFICATIONS,
    Attachment,
    Channel,
    File,
    Message,
    User,
    walk,
)
from tests.fakes.discord.message_rules import check_message
from tests.fakes.discord.refusals import Refusal
from tests.fakes.discord.world import World

NONCE_SECONDS = 180.0
"""How long an enforced nonce is remembered."""

_MENTION = re.compile(r"<@!?(\d+)>")
_NEEDS_ADDRESS = re.compile(r"^attachment://(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a request wants a message to be."""

    body: dict[str, Any]
    uploads: dict[str, File] = field(default_factory=dict)
    """Part name, such as `files[0]`, -> file."""


def repeated(world: World, channel: Channel, form: Form) -> Message | None:
    """Return the message that an enforced nonce stands for, if it is already there."""
    nonce = form.body.get("nonce")
    if not form.body.get("enforce_nonce") or nonce is None:
        return None
    oldest = world.clock.now() - NONCE_SECONDS
    for message in reversed(channel.messages.values()):
        if (
            message.nonce == str(nonce)
            and message.author is world.bot
            and message.posted_at > oldest
        ):
            return message
    return None


def compose(
    world: World,
    channel: Channel,
    form: Form,
    *,
    author: User,
    upload_bytes: int,
    visible_to: User | None = None,
    **more: Any,
) -> Message:
    """Make a message; `World.post` shows it.

    Args:
        upload_bytes: Largest file.
        more: Other members of the message.

    Raises:
        Refusal: 50006, 50035 or 40005.
    """
    body = form.body
    flags = int(body.get("flags") or 0)
    loading = bool(flags & LOADING)
    if world.layouts_refused and flags & COMPONENTS_V2:
        raise Refusal(50035, field="flags")
    attachments = _attachments(world, channel, form, kept=[], upload_bytes=upload_bytes)
    _check(body, attachments, flags)
    empty = not any(body.get(name) for name in ("content", "embeds", "components", "sticker_ids"))
    if empty and not attachments and not loading:
        raise Refusal(50006)
    message = Message(
        id=world.clock.snowflake(),
        channel=channel,
        author=author,
        posted_at=world.clock.now(),
        content=body.get("content") or "",
        embeds=_addressed(world, body.get("embeds") or [], attachments),
        components=_numbered(_addressed(world, body.get("components") or [], attachments)),
        attachments=attachments,
        flags=flags | (EPHEMERAL if visible_to else 0),
        nonce=None if body.get("nonce") is None else str(body["nonce"]),
        visible_to=visible_to,
        **more,
    )
    _notify(world, message, body.get("allowed_mentions"))
    return message


def revise(world: World, message: Message, form: Form, *, upload_bytes: int) -> None:
    """Change a message; members that the form lacks stay.

    Raises:
        Refusal: 50035 or 40005; the message is as before.
    """
    body = form.body
    kept = message.attachments
    if body.get("attachments") is not None:
        wanted = {str(item["id"]) for item in body["attachments"]}
        kept = [each for each in kept if str(each.id) in wanted]
    elif "attachments" in body:
        kept = []
    flags = message.flags if body.get("flags") is None else _merged(message, int(body["flags"]))
    if world.layouts_refused and flags & COMPONENTS_V2:
        raise Refusal(50035, field="flags")
    attachments = _attachments(world, message.channel, form, kept=kept, upload_bytes=upload_bytes)
    after = {
        name: body[name] if name in body else getattr(message, name)
        for name in ("content", "embeds", "components")
    }
    _check({**body, **after}, attachments, flags)
    message.content = after["content"] or ""
    message.embeds = _addressed(world, after["embeds"] or [], attachments)
    message.components = _numbered(_addressed(world, after["components"] or [], attachments))
    message.attachments = attachments
    message.flags = flags & ~LOADING
    before = message.pings
    _notify(world, message, body.get("allowed_mentions"))
    message.pings = before  # an edit shows a mention, and notifies nobody


def _merged(message: Message, flags: int) -> int:
    if message.flags & COMPONENTS_V2 and not flags & COMPONENTS_V2:
        raise Refusal(50035, problems=["flags: components v2 cannot be taken back"])
    settable = COMPONENTS_V2 | (1 << 2)
    return message.flags & ~settable | flags & settable


def _check(body: dict[str, Any], attachments: list[Attachment], flags: int) -> None:
    names = [attachment.file.name for attachment in attachments]
    if problems := check_message(body, file_names=names, flags=flags):
        raise Refusal(50035, problems=problems)


def _attachments(
    world: World, channel: Channel, form: Form, *, kept: list[Attachment], upload_bytes: int
) -> list[Attachment]:
    described = {str(item["id"]): item for item in form.body.get("attachments") or []}
    made = list(kept)
    for part, file in form.uploads.items():
        if len(file.data) > upload_bytes:
            raise Refusal(40005)
        about = described.get(part.removeprefix("files[").removesuffix("]"), {})
        named = File(
            name=about.get("filename") or file.name,
            data=file.data,
            content_type=file.content_type,
        )
        made.append(world.attach(channel, named, about.get("description")))
    return made


def _addressed(world: World, value: Any, attachments: list[Attachment]) -> Any:
    """Put CDN addresses where `attachment://` was written."""
    if isinstance(value, list):
        return [_addressed(world, item, attachments) for item in value]
    if isinstance(value, dict):
        return {name: _addressed(world, item, attachments) for name, item in value.items()}
    if isinstance(value, str) and (found := _NEEDS_ADDRESS.match(value)):
        named = {attachment.file.name: attachment for attachment in attachments}
        if found[1] in named:
            return world.cdn.url(named[found[1]])
    return value


def _numbered(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every component the members that Discord fills in where they are left out."""
    for number, component in enumerate(walk(components), start=1):
        component.setdefault("id", number)
        for item in component.get("items") or []:
            media = item["media"]
            media.setdefault("id", str(number))
            media.setdefault("proxy_url", media["url"])
            item.setdefault("description", None)
            item.setdefault("spoiler", False)
    return components


def _notify(world: World, message: Message, allowed: dict[str, Any] | None) -> None:
    """Work out who is mentioned, and who hears of it."""
    texts = [message.content, *(c.get("content", "") for c in walk(message.components))]
    written = {int(found) for text in texts for found in _MENTION.findall(text)}
    parse = ["users", "roles", "everyone"] if allowed is None else allowed.get("parse") or []
    listed = {int(item) for item in (allowed or {}).get("users") or []}
    meant = written if "users" in parse else written & listed
    everyone = re.search(r"@(everyone|here)\b", "\n".join(texts))
    message.mentions_everyone = bool(everyone) and "everyone" in parse
    if message.reference is not None and (allowed or {}).get("replied_user", allowed is None):
        meant |= {message.reference.author.id}
    message.mentions = [world.users[each] for each in sorted(meant) if each in world.users]
    silent = message.flags & (SUPPRESS_NOTIFICATIONS | LOADING)
    people = {user.id for user in message.mentions if not user.bot}
    if message.mentions_everyone and message.channel.guild is not None:
        people |= {m.user.id for m in message.channel.guild.members.values() if not m.user.bot}
    message.pings = frozenset() if silent or message.visible_to else frozenset(people)
