from __future__ import annotations

from types import SimpleNamespace

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.api.errors import by_status, delivery_error


def answer(error, *, status=200, headers=None):
    """What slack_sdk raises for an answer with an error in it."""
    response = AsyncSlackResponse(
        client=None,
        http_verb="POST",
        api_url="http://127.0.0.1/api/chat.postMessage",
        req_args={},
        data={"ok": False, "error": error} if error else {},
        headers=headers or {},
        status_code=status,
    )
    return SlackApiError("refused", response)


@pytest.mark.parametrize(
    "code",
    [
        "not_in_channel",
        "channel_not_found",
        "is_archived",
        "restricted_action",
        "account_inactive",
        "token_revoked",
        "invalid_auth",
        "missing_scope",
        "file_uploads_disabled",
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "something_new",
    ],
)
def test_a_refusal_closes_the_route_and_names_slacks_reason(code):
    error = delivery_error(answer(code))
    assert (error.code, error.transient) == ("slack.refused", False)
    assert error.params == {"error": code}


@pytest.mark.parametrize(
    ("code", "passing"),
    [
        ("is_archived", True),
        ("not_in_channel", True),
        ("channel_not_found", True),
        ("restricted_action", True),
        ("restricted_action_read_only_channel", True),
        ("file_uploads_disabled", True),
        ("storage_limit_reached", True),
        ("team_access_not_granted", True),
        ("account_inactive", True),
        ("token_revoked", True),
        ("invalid_auth", True),
        ("token_expired", True),
        ("missing_scope", False),
        ("message_not_found", False),
        ("msg_too_long", False),
        ("user_disabled", False),
        ("something_new", False),
    ],
)
def test_a_place_that_people_can_open_again_is_waited_for(code, passing):
    assert delivery_error(answer(code)).passing is passing


@pytest.mark.parametrize(
    "code", ["internal_error", "fatal_error", "service_unavailable", "request_timeout"]
)
def test_trouble_on_their_side_leaves_open_what_was_done(code):
    error = delivery_error(answer(code))
    assert (error.code, error.transient) == ("slack.unreachable", True)


@pytest.mark.parametrize("code", ["ratelimited", "rate_limited"])
def test_too_fast_says_how_long_to_wait(code):
    error = delivery_error(answer(code, status=429, headers={"Retry-After": "7"}))
    assert (error.code, error.transient, error.retry_after) == ("slack.rate_limited", True, 7.0)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
def test_too_fast_without_a_number_waits_nevertheless(headers):
    assert delivery_error(answer("ratelimited", status=429, headers=headers)).retry_after == 10.0


def test_a_file_above_the_workspaces_limit_is_too_large():
    error = delivery_error(answer("file_upload_size_restricted"))
    assert (error.code, error.transient) == ("delivery.too_large", False)


def test_a_full_free_plan_is_asked_again():
    assert delivery_error(answer("message_limit_exceeded")).transient


def test_an_answer_that_is_no_json_is_judged_by_its_status():
    assert delivery_error(answer(None, status=503)).params == {"error": "http_503"}
    unread = SimpleNamespace(status=502, headers={})
    assert delivery_error(SlackApiError("unread", unread)).code == "slack.unreachable"


@pytest.mark.parametrize(
    "error", [aiohttp.ServerDisconnectedError(), TimeoutError(), ConnectionResetError()]
)
def test_a_broken_wire_leaves_open_what_was_done(error):
    translated = delivery_error(error)
    assert (translated.code, translated.transient) == ("slack.unreachable", True)


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (413, "delivery.too_large", False),
        (429, "slack.rate_limited", True),
        (404, "slack.unreachable", True),
    ],
)
def test_a_transfer_is_judged_by_its_status(status, code, transient):
    error = by_status(status)
    assert (error.code, error.transient) == (code, transient)
