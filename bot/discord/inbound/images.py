"""Reference images on Discord: found in messages, fetched from Discord's own hosts only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp
import discord
import yarl

from bot.discord.errors import UNREACHABLE
from bot.network.connector import open_session
from bot.network.image_download import save
from commands.options import MAX_PROMPT
from inference.clock import Clock, SystemClock
from inference.domain.errors import UserError
from inference.domain.job import Job
from inference.media.results import ImageLimits
from inference.retries import retry

TRIES = 5
FIRST_SECONDS = 0.5
"""After a try that found the host busy or away."""

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=20)

READABLE = frozenset({"png", "jpeg", "jpg", "jpe", "jfif", "webp", "gif", "heic", "heif", "avif"})
"""Formats that can be read, as subtypes and as suffixes."""

OTHERS = frozenset({"apng", "bmp", "svg", "tif", "tiff"})

VIDEOS = frozenset({"mp4", "mov", "webm", "mkv", "m4v", "avi"})

_UNTYPED = frozenset({"", "application/octet-stream"})
"""Content types of files of which Discord knows the name only."""

Part = discord.Message | discord.MessageSnapshot
"""What has attachments, components, embeds and stickers."""


class ImageFetcher:
    """Downloads attached images."""

    def __init__(
        self,
        hosts: Collection[str],
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - frozen
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
    ) -> None:
        """Fetch from some hosts.

        Args:
            hosts: Each `host` or `host:port`; `*` stands for a part of a name without a dot.
            limits: How large a reference image may be.
            clock: Paces tries.
        """
        self._hosts = frozenset(hosts)
        self._limits = limits
        self._clock = clock

    async def fetch(self, job: Job, image: str, target: Path) -> None:  # noqa: ARG002 - an address says it all
        """Write the untrusted bytes; see `ImageSource`.

        Raises:
            UserError: `image.foreign`, `image.too_large` or `image.fetch_failed`.
        """
        download = partial(self._download, check_image_url(image, self._hosts), target)
        try:
            await retry(
                download,
                again=lambda error: isinstance(error, UNREACHABLE),
                tries=TRIES,
                first=FIRST_SECONDS,
                clock=self._clock,
            )
        except UNREACHABLE as error:
            raise UserError("image.fetch_failed") from error

    async def _download(self, url: yarl.URL, target: Path) -> None:
        async with (
            open_session(timeout=_TIMEOUT) as session,
            # A redirect could lead anywhere, also into our own network.
            session.get(url, allow_redirects=False) as response,
        ):
            busy = response.status == HTTPStatus.TOO_MANY_REQUESTS
            if busy or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                response.raise_for_status()
            if response.status != HTTPStatus.OK:  # an address that has expired answers 403 or 404
                raise UserError("image.fetch_failed")
            await save(response, target, self._limits)


def check_image_url(typed: str, hosts: Collection[str]) -> yarl.URL:
    """Return an address that is safe to fetch from.

    Raises:
        UserError: `image.foreign`: it leads elsewhere, or not over https.
    """
    try:
        url = yarl.URL(typed, encoded=True)
        host = url.host or ""
        named = host if url.is_default_port() else f"{host}:{url.port}"
    except ValueError as error:
        raise UserError("image.foreign") from error
    plain_is_fine = url.scheme == "http" and _is_loopback(host)
    if (
        not _is_listed(named, hosts)
        or url.user is not None
        or not (url.scheme == "https" or plain_is_fine)
    ):
        raise UserError("image.foreign")
    return url


def is_fetchable(typed: str, hosts: Collection[str]) -> bool:
    """Whether an address is safe to fetch from."""
    try:
        check_image_url(typed, hosts)
    except UserError:
        return False
    return True


def _is_listed(named: str, hosts: Collection[str]) -> bool:
    """Whether a host is in a list, in which `*` stands for a part of a name without a dot."""
    return any(
        re.fullmatch(re.escape(host.casefold()).replace(r"\*", "[a-z0-9-]*"), named) is not None
        for host in hosts
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parts(message: discord.Message) -> Iterator[Part]:
    """Yield a message, then what it forwards."""
    yield message
    yield from message.message_snapshots


def find_image(message: discord.Message, hosts: Collection[str]) -> str | None:
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
    """Yield the media of galleries and thumbnails, however deep they are nested."""
    for component in components:
        if isinstance(component, discord.MediaGalleryComponent):
            yield from (item.media for item in component.items)
        elif isinstance(component, discord.ThumbnailComponent):
            yield component.media
        yield from _media(getattr(component, "children", ()))
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield from _media([accessory])
