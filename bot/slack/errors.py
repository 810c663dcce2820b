"""What Slack and the wire to it answer, as delivery errors.

Two codes matter to callers. `slack.unreachable` leaves open whether the call was carried out;
after every other one it certainly was not.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from inference.errors import DeliveryError

RETRY_AFTER_SECONDS = 10.0
"""When Slack says "too fast" without saying for how long."""

TOKEN_ERRORS = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
    }
)
"""The token is of no use, and only a person can change that; any other code may pass."""

_RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})

_UNCLEAR = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "update_failed",
        "file_update_failed",
    }
)
"""Trouble at their side, perhaps after having acted."""

_LATER = frozenset(
    {
        "accesslimited",
        "external_channel_migrating",
        "team_added_to_org",
        "org_login_required",
        "message_limit_exceeded",
        "streaming_state_conflict",
    }
)
"""Refused now, not for ever."""

_TOO_LARGE = frozenset({"file_upload_size_restricted", "file_too_large"})


def delivery_error(error: Exception) -> DeliveryError:
    """Translate what a call to Slack raised.

    `params["error"]` is Slack's own code where there is one.

    Args:
        error: From slack_sdk, aiohttp or the socket; anything else is a bug and not for here.
    """
    if isinstance(error, SlackApiError):
        return _refusal(error.response)
    return DeliveryError("slack.unreachable", transient=True, error=type(error).__name__)


def by_status(status: int, retry_after: str | None = None) -> DeliveryError:
    """Translate an HTTP status that came without Slack's own words."""
    if status == 429:  # noqa: PLR2004 - too many requests
        return _rate_limited(retry_after)
    if status == 413:  # noqa: PLR2004 - content too large
        return DeliveryError("delivery.too_large", transient=False)
    return DeliveryError("slack.unreachable", transient=True, error=f"http_{status}")


def _refusal(response: Any) -> DeliveryError:
    """Translate an answer; slack_sdk passes its own kind, or aiohttp's where it cannot read it."""
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    retry_after = response.headers.get("Retry-After")
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    if not isinstance(code, str):
        return by_status(status, retry_after)
    if status == 429 or code in _RATE_LIMITED:  # noqa: PLR2004 - too many requests
        return _rate_limited(retry_after)
    if code in _UNCLEAR or status >= 500:  # noqa: PLR2004 - their side
        return DeliveryError("slack.unreachable", transient=True, error=code)
    if code in _TOO_LARGE:
        return DeliveryError("delivery.too_large", transient=False, error=code)
    return DeliveryError("slack.refused", transient=code in _LATER, error=code)


def _rate_limited(retry_after: str | None) -> DeliveryError:
    try:
        seconds = float(retry_after) if retry_after else RETRY_AFTER_SECONDS
    except ValueError:
        seconds = RETRY_AFTER_SECONDS
    return DeliveryError("slack.rate_limited", transient=True, retry_after=seconds)


WIRE_ERRORS = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call to Slack may raise."""
