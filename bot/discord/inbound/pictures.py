"""Finds the picture of a message: attached, forwarded, laid out, embedded or a sticker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import discord

from bot.discord.inbound.images import is_fetchable
from commands.options import MAX_PROMPT

READABLE = frozenset({"png", "jpeg", "jpg", "jpe", "jfif", "webp", "gif"})
"""Formats that can be read, as subtypes and as suffixes."""

OTHERS = frozenset({"apng", "avif", "bmp", "heic", "heif", "svg", "tif", "tiff"})

VIDEOS = frozenset({"mp4", "mov", "webm", "mkv", "m4v", "avi"})

_UNTYPED = frozenset({"", "application/octet-stream"})
"""Content types of files of which Discord knows the name only."""

Part = discord.Message | discord.MessageSnapshot
"""What has attachments, components, embeds and stickers."""


def parts(message: discord.Message) -> Iterator[Part]:
    """Yield a message, then what it forwards."""
    yield message
    yield from message.message_snapshots


def find_picture(message: discord.Message, hosts: Collection[str]) -> str | None:
    """Return the address of a message's first picture; None if it has none that may be fetched.

    Args:
        message: As the context menu shows it, with what it forwards.
        hosts: Discord's own, from which alone pictures are fetched.
    """
    for part in parts(message):
        for addresses in _pictures(part):
            for address in addresses:
                # The address goes into a field of a form, which has a length.
                if address and len(address) <= MAX_PROMPT and is_fetchable(address, hosts):
                    return address
    return None


def has_video(message: discord.Message) -> bool:
    """Whether a message, or what it forwards, has a video attached."""
    return any(
        _subtype(attachment, "video", VIDEOS) is not None
        for part in parts(message)
        for attachment in part.attachments
    )


def _pictures(part: Part) -> Iterator[Iterable[str | None]]:
    """Yield the addresses of each picture, the best first."""
    attached = [
        (subtype not in READABLE, attachment)
        for attachment in part.attachments
        if (subtype := _subtype(attachment, "image", READABLE | OTHERS)) is not None
    ]
    for _, attachment in sorted(attached, key=lambda pair: pair[0]):
        yield attachment.url, attachment.proxy_url
    for media in _media(part.components):
        if (media.content_type or "image/").startswith("image/"):
            yield media.proxy_url, media.url
    for embed in part.embeds:
        for shown in (embed.image, embed.thumbnail):
            yield shown.proxy_url, shown.url
    for sticker in part.stickers:
        if sticker.format is not discord.StickerFormatType.lottie:
            yield (sticker.url,)


def _subtype(attachment: discord.Attachment, kind: str, suffixes: Collection[str]) -> str | None:
    """Return the format of a file of a kind, by its content type or else by its name."""
    content_type = (attachment.content_type or "").partition(";")[0].strip().casefold()
    if content_type.startswith(f"{kind}/"):
        return content_type.partition("/")[2]
    suffix = PurePosixPath(attachment.filename).suffix.removeprefix(".").casefold()
    return suffix if content_type in _UNTYPED and suffix in suffixes else None


def _media(components: Iterable[Any]) -> Iterator[discord.UnfurledMediaItem]:
    """Yield what galleries and thumbnails show, however deep they are nested."""
    for component in components:
        if isinstance(component, discord.MediaGalleryComponent):
            yield from (item.media for item in component.items)
        elif isinstance(component, discord.ThumbnailComponent):
            yield component.media
        yield from _media(getattr(component, "children", ()))
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield from _media([accessory])
