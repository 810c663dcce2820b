"""Requests for what belongs to another tenant or person."""

from __future__ import annotations

import json

import pytest

from tests.attacks.http.target import GOOD, asked, attacks

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("method", "path", "body"),
    attacks(
        "http tenants",
        [
            ("another tenant's video", "GET", "/v1/videos/{}", None),
            ("its file", "GET", "/v1/videos/{}/content", None),
            ("its thumbnail", "GET", "/v1/videos/{}/content?variant=thumbnail", None),
            ("its events", "GET", "/v1/videos/{}/events", None),
            ("deleting it", "DELETE", "/v1/videos/{}", None),
            ("a remix of it", "POST", "/v1/videos/{}/remix", {"prompt": "a"}),
            ("an edit of it", "POST", "/v1/videos/edits", {"prompt": "a", "video": {"id": "{}"}}),
            (
                "going on from it",
                "POST",
                "/v1/videos/extensions",
                {"prompt": "a", "seconds": "1", "video": {"id": "{}"}},
            ),
            ("listing from it on", "GET", "/v1/videos?after={}", None),
        ],
    ),
)
async def test_what_is_anothers_is_as_unknown_as_what_never_was(served, method, path, body):
    answers = []
    for video in (served.video, "7Q2FK9XDAB"):
        given = None if body is None else json.loads(json.dumps(body).replace("{}", video))
        status, answer = await asked(
            served, method, path.format(video), token=served.other, json=given
        )
        answers.append((status, answer.replace(video.encode(), b"")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert served.video in await served.jobs(served.mine)


@pytest.mark.attack("http tenants", "deleting a colleague's video")
async def test_a_colleague_may_look_and_not_delete(served):
    path = f"/v1/videos/{served.video}"
    assert (await asked(served, "GET", path, token=served.same))[0] == 200
    status, body = await asked(served, "DELETE", path, token=served.same)
    assert (status, json.loads(body)["error"]["code"]) == (403, "job.not_yours")
    assert served.video not in await served.jobs(served.same)


@pytest.mark.attack("http tenants", "another tenant's idempotency key")
async def test_a_key_of_another_makes_another_job(served):
    headers = {"Idempotency-Key": "shared"}
    made = [
        json.loads(
            (await asked(served, "POST", "/v1/videos", token=token, json=GOOD, headers=headers))[1]
        )["id"]
        for token in (served.mine, served.other, served.same)
    ]
    assert len(set(made)) == 3
