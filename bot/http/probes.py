"""Liveness and readiness probes, for load balancers and supervisors."""

from __future__ import annotations

from aiohttp import web

from bot.http.metrics import CONTENT_TYPE, Metrics
from bot.platform import Services
from bot.readiness import unready


class Probes:
    """`/livez`, `/readyz` and `/metrics`."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/livez", self._live),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._page),
        ]

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        reasons = await unready(self._services, self._services.language)
        body = {"status": "not ready" if reasons else "ok", "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def _page(self, _: web.Request) -> web.Response:
        page = await self._metrics.page(self._services)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
