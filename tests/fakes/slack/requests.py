"""Signed requests to the app's own address, for apps without Socket Mode."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from http import HTTPStatus
from urllib.parse import urlencode

import aiohttp

from tests.fakes.slack.mail import BUSY_SECONDS
from tests.fakes.slack.model import Json


class SignedRequests:
    """The wire of apps that Slack posts to."""

    def __init__(self, url: str, signing_secret: str) -> None:
        self._url = url
        self._secret = signing_secret

    async def send(
        self, kind: str, payload: Json, *, attempt: int, reason: str | None
    ) -> Json | None:
        """Post once; see `Wire`."""
        if kind == "events_api":
            body, content = json.dumps(payload), "application/json"
        else:
            form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
            body = urlencode({name: "" if v is None else v for name, v in form.items()})
            content = "application/x-www-form-urlencoded"
        headers = {**self.signature(body), "Content-Type": content}
        if attempt:
            headers["X-Slack-Retry-Num"] = str(attempt)
            headers["X-Slack-Retry-Reason"] = reason or "http_timeout"
        limit = aiohttp.ClientTimeout(total=BUSY_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.post(self._url, data=body.encode(), headers=headers) as response,
            ):
                said = await response.text()
                return _read(said) if response.status == HTTPStatus.OK else None
        except (TimeoutError, aiohttp.ClientError):
            return None

    def signature(self, body: str, *, age_seconds: float = 0.0) -> dict[str, str]:
        """Return the headers that prove that a body comes from Slack."""
        stamp = str(int(time.time() - age_seconds))
        base = f"v0:{stamp}:{body}".encode()
        digest = hmac.new(self._secret.encode(), base, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def _read(said: str) -> Json:
    if not said:
        return {}
    return json.loads(said) if said.startswith("{") else {"text": said}
