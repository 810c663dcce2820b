from __future__ import annotations

import pytest

from bot.slack.inbound import idempotency

VIEW = {"view": {"id": "V1", "hash": "1.a"}}


def message(ts, channel="C1", workspace="T1", **more):
    return idempotency.of_message({"ts": ts, **more}, channel, workspace)


def test_the_same_thing_has_the_same_name():
    assert message("1.1") == message("1.1")
    assert idempotency.of_view(VIEW, "T1") == idempotency.of_view(
        {"view": {**VIEW["view"], "state": {}}}, "T1"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (message("1.1"), message("1.2")),
        (message("1.1"), message("1.1", channel="C2")),
        (message("1.1"), message("1.1", workspace="T2")),
        (message("1"), idempotency.of_trigger({"trigger_id": "1"}, "T1")),
        (
            idempotency.of_view(VIEW, "T1"),
            idempotency.of_view({"view": {"id": "V1", "hash": "1.b"}}, "T1"),
        ),
        (
            idempotency.of_view(VIEW, "T1"),
            idempotency.of_view({"view": {"id": "V2", "hash": "1.a"}}, "T1"),
        ),
    ],
)
def test_different_things_have_different_names(one, other):
    assert one != other


def test_what_slack_did_not_name_is_never_taken_for_a_repetition():
    assert idempotency.of_message({}, "C1", "T1") is None
    assert idempotency.of_trigger({}, "T1") is None


def test_an_edited_message_has_the_name_that_it_had_before():
    assert message("1.1", text="a fox") == message("1.1", text="an owl", edited={"ts": "1.2"})
