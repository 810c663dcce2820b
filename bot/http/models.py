"""`/v1/models`, and the description of the API for the models that are installed."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.config.sections import HttpSection
from bot.http.openapi import document
from bot.platform import Services
from commands.parsing.values import shorten
from inference.domain.capabilities import Capabilities
from inference.domain.errors import NotFound, UserError


class Models:
    """Routes of models and of the API's description."""

    def __init__(self, services: Services, section: HttpSection) -> None:
        self._installation = services.installation
        self._document = document(services.installation, services.language, section.public_url)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/models", self._list),
            web.get("/v1/models/{model}", self._retrieve),
            web.get("/openapi.json", self._openapi),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        models = [_model(model) for model in self._installation.offered]
        return web.json_response({"object": "list", "data": models})

    async def _retrieve(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        try:
            model = self._installation.model(name)
        except UserError as error:
            known = [model.name for model in self._installation.offered]
            raise NotFound("model.unknown", name=shorten(name), known=known) from error
        if problem := self._installation.problem(model.name):
            raise problem
        return web.json_response(_model(model))

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(self._document)


def _model(model: Capabilities) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "rushes",
        "rushes": {
            "title": model.title,
            "sizes": [str(size) for size in model.sizes.values()],
            "frames": list(model.lengths),
            "fps": model.file_fps,
            "modes": sorted(mode.value for mode in model.modes),
            "extends": model.extends,
        },
    }
