"""Reference images: fetched from Discord's own hosts only, up to a size."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Collection
from pathlib import Path

import aiohttp
import yarl

from bot.connector import open_session
from inference.domain.errors import UserError
from inference.domain.job import Job
from inference.media.results import ImageLimits

CHUNK_BYTES = 1 << 16

PAUSES = (0.5, 2.0, 8.0, 0.0)
"""Seconds after each try that found the host busy or away."""

_OK = 200
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=20)


class DiscordImages:
    """Downloads what people attached."""

    def __init__(
        self,
        hosts: Collection[str],
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - frozen
    ) -> None:
        """Fetch from some hosts.

        Args:
            hosts: Each `host` or `host:port`; `*` stands for a part of a name without a dot.
            limits: How large a reference image may be.
        """
        self._hosts = frozenset(hosts)
        self._limits = limits

    async def fetch(self, job: Job, image: str, target: Path) -> None:  # noqa: ARG002 - an address says it all
        """Write the untrusted bytes; see `ImageSource`.

        Raises:
            UserError: `image.foreign`, `image.too_large` or `image.fetch_failed`.
        """
        url = checked(image, self._hosts)
        for pause in PAUSES:
            try:
                data = await self._download(url)
                break
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(pause)
        else:
            raise UserError("image.fetch_failed")
        await asyncio.to_thread(target.write_bytes, data)

    async def _download(self, url: yarl.URL) -> bytes:
        limit = self._limits.file_bytes
        data = bytearray()
        async with (
            open_session(timeout=_TIMEOUT) as session,
            # A redirect could lead anywhere, also into our own network.
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status == _TOO_MANY_REQUESTS or response.status >= _SERVER_ERRORS:
                response.raise_for_status()
            if response.status != _OK:  # an address that has expired answers 403 or 404
                raise UserError("image.fetch_failed")
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                data += chunk
                if len(data) > limit:
                    raise UserError("image.too_large", limit_mb=limit // 2**20)
        return bytes(data)


def checked(typed: str, hosts: Collection[str]) -> yarl.URL:
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
        checked(typed, hosts)
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
