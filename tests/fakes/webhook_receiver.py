"""A receiver of webhooks with TLS on loopback, which remembers what came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import subprocess
from pathlib import Path
from typing import Self

from aiohttp import web


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Make one for localhost, and return the paths of it and of its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


class Receiver:
    """Answers with the statuses it is given, then with 204."""

    def __init__(self, certificate: Path, key: Path, *statuses: int) -> None:
        self.certificate = certificate
        self.statuses = list(statuses)
        self.came: list[tuple[dict[str, str], bytes]] = []
        """Headers with small letters, and bodies."""
        self.port = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hook"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        async with self._changed:
            self.came.append((headers, body))
            self._changed.notify_all()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": "https://localhost:1/"})

    def videos(self) -> dict[str, set[str]]:
        """Return the message ids by the video they are about."""
        found: dict[str, set[str]] = {}
        for headers, body in self.came:
            found.setdefault(json.loads(body)["data"]["id"], set()).add(headers["webhook-id"])
        return found

    async def calls(self, count: int, seconds: float) -> None:
        """Wait until so many messages came."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: len(self.came) >= count)

    async def until(self, videos: set[str], seconds: float) -> None:
        """Wait until all of these were told."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: videos <= set(self.videos()))

    def wrong(self, secret: str) -> list[str]:
        """Return what is wrong with what came: ids that differ for a video, and signatures."""
        problems = [video for video, ids in self.videos().items() if len(ids) > 1]
        key = base64.b64decode(secret.removeprefix("whsec_"))
        for headers, body in self.came:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            if headers["webhook-signature"] != f"v1,{wanted}":
                problems.append(headers["webhook-id"])
        return problems
