"""Checks of the network: the proxy, every host that is needed, the clock, and AI services."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from bot import factories
from bot.config.sections import Config
from bot.doctor.findings import Finding, fail, ok, report_error, warn
from bot.network.connector import ProxyError, open_session
from inference.domain.errors import UserError
from inference.engines import weights
from inference.opensora.files import CheckpointError
from inference.proxies import check_proxies, find_proxy, find_proxy_variables

SECONDS = 15.0
"""For one answer."""

HUB = "https://huggingface.co"
OPENAI = "https://api.openai.com/v1"

SKEWED_SECONDS = 30.0
"""Cooldowns and quotas begin to be wrong."""

WRONG_SECONDS = 300.0
"""Slack's signatures, and certificates of a day, are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that is needed."""

    url: str
    why: str
    """What for: a word that needs no translation."""

    @property
    def name(self) -> str:
        """The name, with the port where the address has one."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def hosts(config: Config) -> Iterator[Host]:
    """Yield the hosts that this configuration needs."""
    discord, slack = config.discord, config.slack
    if "discord" in config.bot.platforms and discord.token is not None:
        yield Host(url=discord.api_base_url or "https://discord.com/api/v10", why="Discord")
        gateway = discord.gateway_url or "wss://gateway.discord.gg"
        yield Host(url="http" + gateway.removeprefix("ws"), why="Discord")
        if discord.api_base_url is None:
            yield Host(url="https://cdn.discordapp.com", why="Discord")
    if "slack" in config.bot.platforms and (slack.bot_token or slack.client_id):
        yield Host(url=slack.api_base_url or "https://slack.com/api/", why="Slack")
        if slack.mode == "socket" and slack.api_base_url is None:
            yield Host(url="https://wss-primary.slack.com", why="Slack")
    if any(_missing(name, config) for name in config.models.installed):
        yield Host(url=HUB, why="rushes models pull")


def proxy(config: Config) -> Iterator[Finding]:
    """Check the proxy variables of the environment."""
    try:
        check_proxies()
    except UserError as error:
        yield report_error("proxy", error)
        return
    used = {found.url for host in hosts(config) if (found := find_proxy(host.url))}
    if used:
        yield ok("proxy", "doctor.proxy.used", url=", ".join(sorted(used)))
    elif named := find_proxy_variables():
        yield ok("proxy", "doctor.proxy.unneeded", variables=", ".join(named))
    else:
        yield ok("proxy", "doctor.proxy.none")


def check_port(config: Config) -> Iterator[Finding]:
    """Check that the port of HTTP is free; nothing of ours may be running."""
    if "http" not in config.bot.platforms:
        return
    host, port = config.http.host, config.http.port
    address = f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            trying.bind((host, port))
    except OSError as error:
        problem = error.strerror or type(error).__name__
        yield report_error(
            "http", UserError("http.cannot_listen", address=address, problem=problem)
        )
    else:
        yield ok("http", "doctor.http.fine", address=address)


async def check_hosts(config: Config) -> list[Finding]:
    """Check that every needed host answers, and compare its clock with ours."""
    found, skews = [], []
    async with _session() as session:
        for host in hosts(config):
            check = f"host.{host.name}"
            try:
                async with session.get(host.url, allow_redirects=False) as response:
                    await response.read()
                    found.append(ok(check, "doctor.host.fine", name=host.name, why=host.why))
                    if skew := _skew(response.headers.get("Date", "")):
                        skews.append(skew)
            except (aiohttp.ClientError, OSError, TimeoutError, UserError) as error:
                found.append(unreachable(check, host.name, error))
    if skews:
        found.append(clock(min(skews, key=abs)))
    return found


def clock(skew: float) -> Finding:
    """Return the finding about the difference to other clocks.

    Args:
        skew: Seconds that ours is ahead.
    """
    if abs(skew) > WRONG_SECONDS:
        return fail("clock", "doctor.clock.wrong", seconds=abs(skew))
    if abs(skew) > SKEWED_SECONDS:
        return warn("clock", "doctor.clock.wrong", seconds=abs(skew))
    return ok("clock", "doctor.clock.fine")


async def check_openai(config: Config) -> list[Finding]:
    """Check the keys and models of the prompt assistant and of OpenAI's moderation."""
    section, safety = config.assistant, config.safety
    found = [ok("assistant", "doctor.assistant.off")]
    if section.model is not None:
        found = [await _models("assistant", section.base_url, section.api_key, section.model)]
    if safety.openai:
        key, url = safety.api_key or section.api_key, safety.base_url or section.base_url
        found.append(await _models("moderation", url, key, None))
    return found


async def _models(
    check: str, base_url: str | None, key: SecretStr | None, model: str | None
) -> Finding:
    base_url = (base_url or OPENAI).rstrip("/")
    name = urlsplit(base_url).netloc.rpartition("@")[2]
    headers = {}
    if key is not None and urlsplit(base_url).username is None:  # the address comes first
        headers["Authorization"] = f"Bearer {key.get_secret_value()}"
    try:
        async with _session() as session, session.get(f"{base_url}/models", headers=headers) as got:
            status = got.status
            known = _names(await got.json(content_type=None)) if got.ok else set()
    except (aiohttp.ClientError, OSError, TimeoutError, UserError, ValueError) as error:
        return unreachable(check, name, error)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return fail(check, "doctor.assistant.rejected", name=name)
    if model is not None and known and model not in known:
        return fail(check, "doctor.assistant.no_model", name=name, model=model)
    if status >= HTTPStatus.BAD_REQUEST:
        return warn(check, "doctor.assistant.down", name=name, status=int(status))
    return ok(check, "doctor.assistant.fine", name=name)


def _names(data: object) -> set[str]:
    listed = data.get("data") if isinstance(data, dict) else None
    return {str(one.get("id")) for one in listed or () if isinstance(one, dict)}


def unreachable(check: str, name: str, error: BaseException) -> Finding:
    """Return why something cannot be reached."""
    if isinstance(error, UserError):
        return report_error(check, error)
    if isinstance(error, ProxyError):
        return fail(check, "doctor.host.proxy", name=name, status=error.status)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return fail(check, "doctor.host.certificate", name=name)
    number = getattr(error, "errno", None) or 0
    # What asyncio says of a refused connection is a call and an address.
    problem = os.strerror(number) if number > 0 else getattr(error, "strerror", None)
    problem = problem or type(error).__name__
    return fail(check, "doctor.host.unreachable", name=name, problem=problem)


def _session() -> aiohttp.ClientSession:
    return open_session(force_close=True, timeout=aiohttp.ClientTimeout(total=SECONDS))


def _skew(date: str) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


def _missing(model: str, config: Config) -> bool:
    try:
        for checkpoint in factories.models(config).checkpoints(model):
            weights.folder(checkpoint, config.models.directory)
    except CheckpointError:
        return True
    except UserError:  # told with the config
        return False
    return False
