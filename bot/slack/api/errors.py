"""Translates errors of Slack's Web API into `DeliveryError`.

| answer                                       | meaning                                          |
| -------------------------------------------- | ------------------------------------------------ |
| no answer, 5xx, `internal_error` and its like| later; it may have been carried out              |
| 429, `ratelimited`                           | later; with the wait that Slack asks for         |
| `accesslimited` and its like                 | later, as long as it takes                       |
| `is_archived`, `not_in_channel`, a policy,   | closed for a while: archived, or the bot was     |
| uploads switched off, a full storage         | removed; waited for, then the next route         |
| `file_upload_size_restricted`                | smaller, please                                  |
| `token_revoked` and its like                 | closed for a while: an admin who installs the    |
|                                              | app again brings a new token                     |
| all else, such as `message_not_found`        | closed for good: the next route at once          |

Callers rely on `slack.unreachable`: it alone leaves open whether the call was carried out; after
every other code it certainly was not.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from inference.domain.errors import DeliveryError

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

REVOKED = TOKEN_ERRORS - {"missing_scope"}
"""The token works nowhere any more, until the app is installed again."""

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

_PASSING = frozenset(
    {
        "channel_not_found",  # also of a private channel that the bot was removed from
        "ekm_access_denied",
        "file_uploads_disabled",
        "is_archived",
        "is_inactive",
        "not_in_channel",
        "posting_to_channel_denied",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "storage_limit_reached",
        "team_access_not_granted",
    }
)
"""A channel is closed, which people may change again within minutes."""

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
    return DeliveryError(
        "slack.refused",
        transient=code in _LATER,
        passing=code in _PASSING or code in REVOKED,
        error=code,
    )


def _rate_limited(retry_after: str | None) -> DeliveryError:
    try:
        seconds = float(retry_after) if retry_after else RETRY_AFTER_SECONDS
    except ValueError:
        seconds = RETRY_AFTER_SECONDS
    return DeliveryError("slack.rate_limited", transient=True, retry_after=seconds)


WIRE_ERRORS = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call to Slack may raise."""
