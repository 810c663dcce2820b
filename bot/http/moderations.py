"""`/v1/moderations`: the safety checks of text, compatible with OpenAI's API."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from bot.http.access.guard import TOKEN, Guard
from bot.http.body import may_be_large, read_fields
from bot.http.videos.requests import LONGEST, MAX_INPUTS, parse_request
from bot.platform import Services
from inference.domain.verdict import Reason, Verdict

NAME = "rushes-safety"

MAX_BODY = 4 * 2**20
"""Bytes: all texts that one request may have, each character written as `\\u…` twice."""

CATEGORIES: Mapping[str, Reason | None] = {
    "harassment": Reason.HARASSMENT,
    "harassment/threatening": None,
    "hate": Reason.HATE,
    "hate/threatening": None,
    "illicit": Reason.ILLICIT,
    "illicit/violent": None,
    "self-harm": Reason.SELF_HARM,
    "self-harm/intent": None,
    "self-harm/instructions": None,
    "sexual": Reason.SEXUAL,
    "sexual/minors": Reason.MINORS,
    "violence": Reason.VIOLENCE,
    "violence/graphic": Reason.GORE,
}
"""OpenAI's, with our reason for each that we tell apart."""

Words = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Part(BaseModel):
    """Words inside a table; pictures are checked with the jobs that they come with."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Words


class ModerationRequest(BaseModel):
    """The body of `POST /v1/moderations`."""

    model_config = ConfigDict(extra="forbid")

    input: Words | Annotated[list[Words | Part], Field(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None
    """Taken and not used: there is one set of checks."""


class Moderations:
    """Route of the safety checks."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.post("/v1/moderations", self._create)]

    async def _create(self, request: web.Request) -> web.Response:
        token, admission, results = request[TOKEN], self._guard.admission, []
        async with admission.upload(request, token) if may_be_large(request) else nullcontext():
            asked = parse_request(ModerationRequest, await read_fields(request, MAX_BODY))
        given = [asked.input] if isinstance(asked.input, str) else asked.input
        async with admission.check(token):
            for one in given:
                words = one if isinstance(one, str) else one.text
                verdict = await self._services.jobs.judge(words, tenant=token.tenant)
                results.append(_result(verdict))
        return web.json_response(
            {"id": f"modr-{secrets.token_hex(8)}", "model": NAME, "results": results}
        )


def _result(verdict: Verdict) -> dict[str, Any]:
    found = {name: reason in verdict.reasons for name, reason in CATEGORIES.items()}
    return {
        "flagged": bool(verdict.reasons),
        "categories": found,
        # The checks say yes or no.
        "category_scores": {name: float(flagged) for name, flagged in found.items()},
        "category_applied_input_types": {name: ["text"] for name in found},
        "rushes": {"reasons": [reason.value for reason in verdict.reasons]},
    }
