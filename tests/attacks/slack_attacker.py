"""Somebody who attacks the addresses that Slack delivers to."""

from __future__ import annotations

import hashlib
import hmac
import time

import aiohttp
import pytest

KIND = "slack-http"
FORM = "application/x-www-form-urlencoded"


def attack(what, *values, marks=()):
    return pytest.param(*values, id=what, marks=[pytest.mark.attack(KIND, what), *marks])


class Attacker:
    """Somebody who can reach the bot's port, with or without the signing secret."""

    def __init__(self, slack, house, port, capfd):
        self.slack = slack
        self.house = house
        self.url = f"http://127.0.0.1:{port}"
        self._capfd = capfd

    def signature(self, raw, *, secret=None, at=None):
        stamp = str(int(time.time()) if at is None else at)
        key = (secret or self.slack.signing_secret).encode()
        digest = hmac.new(key, b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}

    async def post(self, raw, content_type=FORM, *, signed=True, headers=None, path="events"):
        sent = {**(self.signature(raw) if signed else {}), "Content-Type": content_type}
        if isinstance(headers, dict):
            sent |= headers
        elif headers is not None:
            sent = [*sent.items(), *headers]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/slack/{path}", data=raw, headers=sent) as response,
        ):
            return response.status

    async def get(self, path, *, cookie="", **headers):
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{self.url}/slack/{path}", headers={"Cookie": cookie, **headers}
            ) as response,
        ):
            return response.status, await response.text(), response.headers

    async def jobs(self):
        return await self.house.jobs()

    def logged(self):
        """Return what was written since the last call."""
        written = self._capfd.readouterr()
        return written.out + written.err
