"""Webhooks: signed notifications that a job has ended, in the format of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks. The outbox repeats what failed: a message
arrives at least once, always with the same id. It names the job and how it ended, no more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp.abc import ResolveResult

from bot.config.sections import HttpSection
from bot.http.videos.video_json import status_of
from bot.network.connector import Connector
from inference.clock import Clock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import Job
from inference.proxies import Proxy, find_proxy

SECRET = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = 32

TRY_SECONDS = 15.0
GIVE_UP_SECONDS = 3 * 86_400.0
"""After the end of a job."""

_log = structlog.get_logger(__name__)


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes them."""
    return SECRET + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_url(url: str, section: HttpSection) -> None:
    """Check that a URL may be a webhook.

    Raises:
        UserError: `token.webhook`: it is not HTTPS, or its host is not named in the config.
    """
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or 443}"
    except ValueError:
        raise UserError("token.webhook", hosts=section.webhook_hosts or ["-"]) from None
    named = {host if ":" in host else f"{host}:443" for host in section.webhook_hosts}
    plain = parts.username is None and url.isprintable() and " " not in url
    if parts.scheme != "https" or not parts.hostname or not plain or place not in named:
        raise UserError("token.webhook", hosts=section.webhook_hosts or ["-"])


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(SECRET))
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Webhooks:
    """Sends one webhook; the outbox retries those that fail (`bot.delivery`)."""

    def __init__(self, section: HttpSection, clock: Clock) -> None:
        self._section = section
        self._clock = clock

    async def tell(self, job: Job, url: str, secret: str) -> None:
        """Send the webhook of an ended job.

        Raises:
            DeliveryError: `http.webhook`, to be called again.
        """
        now = self._clock.now()
        log = _log.bind(job=job.id)
        if job.ended_at is not None and now - job.ended_at > GIVE_UP_SECONDS:
            log.warning("http.webhook_given_up", reason="too_late")
            return
        try:
            check_url(url, self._section)
        except UserError:
            log.warning("http.webhook_given_up", reason="host")
            return
        completed = status_of(job) == "completed"
        message = f"msg_{job.id}"
        event = {
            "id": message,
            "object": "event",
            "type": "video.completed" if completed else "video.failed",
            "created_at": int(job.ended_at or now),
            "data": {"id": job.id},
        }
        status = await self._post(url, secret, message, json.dumps(event).encode())
        if status == HTTPStatus.GONE:  # the receiver wants no more
            log.warning("http.webhook_given_up", reason="gone")
        elif status // 100 != 2:  # noqa: PLR2004 - all kinds of "taken"
            raise DeliveryError("http.webhook", transient=True, problem=str(status))

    async def _post(self, url: str, secret: str, message: str, body: bytes) -> int:
        timestamp = int(self._clock.now())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secret, message, timestamp, body),
        }
        timeout = aiohttp.ClientTimeout(total=TRY_SECONDS)
        resolver = _PublicOnly(self._section.webhook_networks, find_proxy(url, stand_in=True))
        connector = Connector(resolver=resolver, ssl=ssl.create_default_context())
        try:
            resolver.check(urlsplit(url).hostname or "")
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The error's own words may quote the address.
            raise DeliveryError(
                "http.webhook", transient=True, problem=type(error).__name__
            ) from None
        finally:
            await connector.close()


class _PublicOnly(aiohttp.ThreadedResolver):
    """Resolves names to public addresses, and to those of networks that the config names.

    A proxy of the environment may be anywhere; it resolves the name of the receiver itself.
    """

    def __init__(self, networks: Iterable[str], proxy: Proxy | None = None) -> None:
        super().__init__()
        self._proxy = None if proxy is None else urlsplit(proxy.url).hostname
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def check(self, host: str) -> None:
        """Refuse a private address that is written as a number: it never reaches `resolve`.

        Raises:
            OSError: It is one.
        """
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        if not self._allows(str(address)):
            raise OSError("a private address")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name that may be called.

        Raises:
            OSError: There are none.
        """
        found = await super().resolve(host, port, family)
        if host == self._proxy:
            return found
        allowed = [one for one in found if self._allows(one["host"])]
        if not allowed:
            raise OSError("private addresses only")
        return allowed

    def _allows(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        return address.is_global or any(address in network for network in self._networks)
