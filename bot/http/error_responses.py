"""Error responses in OpenAI's format: a status, and `{"error": {…}}` with our codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.http.api_command_names import HTTP, ApiNames
from bot.http.body import MAX_BODY
from bot.network.http_connection import MAX_HEADER, MAX_HEADERS, MAX_LINE
from commands.option_set import OptionSet
from commands.refusal import Refusal
from commands.results import AdvisedError
from commands.text.messages import member_text, text
from inference.domain.errors import NotFound, RushesError, UserError

RETRY_SECONDS = 5
"""Said where the time is not known."""

_RETRY: Mapping[str, int] = {"queue.stopping": 60, "queue.draining": 60}
"""Said instead of `RETRY_SECONDS`, as in their sentences."""

MAX_PARAM = 200
"""Characters of a field's name in `param` and in the sentence; no name of ours is as long."""

LONGEST_RETRY_SECONDS = 3600
"""Most that is said of a full queue."""

_SHOWN = ("nearest", "suggestion", "legal", "known", "limit", "lowest", "highest", "ids")
"""Values of an error that a program can go on with."""

_STATUS: Mapping[str, int] = {
    "http.unauthorized": 401,
    "http.method": 405,
    "http.slow": 408,
    "http.ending": 409,
    "http.key_busy": 409,
    "http.not_finished": 409,
    "http.address_too_long": 414,
    "http.precondition": 412,
    "http.file_range": 416,
    "http.expectation": 417,
    "http.headers_too_large": 431,
    "http.too_large": 413,
    "http.field_large": 413,
    "image.too_large": 413,
    "http.host": 421,
    "http.origin": 403,
    "http.media_type": 415,
    "http.key_reused": 422,
    "http.connections": 429,
    "http.busy": 429,
    "http.too_often": 429,
    "http.stopping": 503,
    "queue.draining": 503,
    "queue.stopping": 503,
    "queue.job_too_long": 400,
    "cap.refused": 403,
    "job.not_yours": 403,
    "preset.unknown": 400,
}
_AREAS: Mapping[str, int] = {"queue": 429, "quota": 429, "permission": 403}
"""Statuses of all other codes of an area."""

_SAID: Mapping[str, str] = {
    "job.unknown": "api.no_job",
    "preset.unknown": "api.no_preset",
    "option.no_assistant": "api.no_assistant",
    "extend.gone": "api.extend_gone",
}
"""Sentences in place of those that send people to a command or a button of chats."""

_FIELDS: Mapping[str, str] = {
    "prompt.empty": "prompt",
    "prompt.no_words": "prompt",
    "prompt.too_long": "prompt",
    "model.no_negative": "rushes.negative",
}
"""Fields that errors are about which know none."""

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def status_of(error: RushesError) -> int:
    """Return the HTTP status of an error."""
    if not isinstance(error, UserError):
        return 500 if error.code == "internal" else 503
    if error.code in _STATUS:
        return _STATUS[error.code]
    if isinstance(error, NotFound):
        return 404
    return _AREAS.get(error.code.partition(".")[0], 400)


def protocol_error_response(status: int, bug_id: str, locale: str) -> web.Response:
    """Return the error response to a request that reaches no route, such as malformed HTTP.

    Args:
        status: What the server has for it.
        bug_id: Of a bug, if it is one.
        locale: Of the sentence.
    """
    error: RushesError
    if bug_id:
        error = RushesError("internal", job=bug_id)
    elif status == 413:  # noqa: PLR2004 - content too large
        error = UserError("http.too_large", limit_mb=MAX_BODY // 2**20)
    elif status == 414:  # noqa: PLR2004 - URI too long
        error = UserError("http.address_too_long", limit_kb=MAX_LINE // 2**10)
    elif status == 417:  # noqa: PLR2004 - expectation failed
        error = UserError("http.expectation")
    elif status == 431:  # noqa: PLR2004 - request header fields too large
        error = UserError("http.headers_too_large", limit_kb=MAX_HEADER // 2**10, most=MAX_HEADERS)
    else:
        error = UserError("http.malformed")
    response = error_response(error, locale)
    response.force_close()
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def error_response(
    error: RushesError, locale: str, *, options: OptionSet | None = None, wait: float | None = None
) -> web.Response:
    """Return the error response to a refused request.

    Args:
        error: Why.
        locale: Of the sentence.
        options: Of a render here, to name the one that is wrong.
        wait: Seconds until it may be tried again, where that is known.
    """
    status = status_of(error)
    body = error_json(error, locale, options=options)
    headers = {}
    if (seconds := retry_seconds(error, wait)) is not None:
        headers["Retry-After"] = str(seconds)
    if error.params.get("again") is False:  # OpenAI's clients repeat a 503 by themselves
        headers["x-should-retry"] = "false"
    if status == 401:  # noqa: PLR2004 - unauthorized
        headers["WWW-Authenticate"] = 'Bearer realm="Rushes"'
    return web.json_response({"error": body}, status=status, headers=headers)


def error_json(
    error: RushesError, locale: str, *, options: OptionSet | None = None, names: ApiNames = HTTP
) -> dict[str, Any]:
    """Return an error as OpenAI's JSON, with the names of a protocol; see `error_response`."""
    if "field" in error.params:  # the client chose its length
        error.params["field"] = str(error.params["field"])[:MAX_PARAM]
    message = member_text(error, locale)
    if (key := _SAID.get(error.code)) is not None:
        message = text(key, locale, **error.params)
    if isinstance(error, AdvisedError):
        message = f"{message} {text(error.advice.key, locale, **error.advice.params)}"
    body: dict[str, Any] = {
        "message": names.say(message, options),
        "type": _type_of(status_of(error)),
        "param": _param(error, options),
        "code": error.code,
    }
    shown: dict[str, Any] = {
        name: _plain(error.params[name]) for name in _SHOWN if name in error.params
    }
    if isinstance(error, Refusal) and error.offers:
        shown["offers"] = [dict(offer) for offer in error.offers]
    if shown:
        body["rushes"] = shown
    return body


def _param(error: RushesError, options: OptionSet | None) -> str | None:
    if "field" in error.params:
        return str(error.params["field"])
    if error.code in _FIELDS:
        return _FIELDS[error.code]
    flag = str(error.params.get("option", error.params.get("flag", ""))).removeprefix("--")
    if options is not None and flag in options.typed:
        return f"rushes.{options.typed[flag].name}"
    if error.code == "preset.unknown":
        return "rushes.preset"
    return "model" if error.code.startswith("model.") else None


def retry_seconds(error: RushesError, wait: float | None) -> int | None:
    """Return how long to wait before the next try, where one helps.

    That is what the error knows, such as the end of a quota's day, or the seconds that are given.
    """
    if error.params.get("again") is False:  # what was asked for would be made twice
        return None
    if status_of(error) not in {409, 429, 503}:
        return None
    known = error.params.get("seconds", wait)
    if not isinstance(known, int | float) or not math.isfinite(known):
        return _RETRY.get(error.code, RETRY_SECONDS)
    if error.code.startswith("quota."):
        return max(1, math.ceil(known))
    return min(max(1, math.ceil(known)), LONGEST_RETRY_SECONDS)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | bool) else str(value)


def _type_of(status: int) -> str:
    """Return the word that OpenAI's errors have for a status."""
    return _TYPES.get(status) or ("server_error" if status // 100 == 5 else "invalid_request_error")  # noqa: PLR2004
