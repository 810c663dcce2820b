from __future__ import annotations

import pytest

from bot.slack import origin

VIEW = {"view": {"id": "V1", "hash": "1.a"}}


def message(ts, channel="C1", workspace="T1", **more):
    return origin.message_key({"ts": ts, **more}, channel, workspace)


def test_the_same_thing_has_the_same_name():
    assert message("1.1") == message("1.1")
    assert origin.view_key(VIEW, "T1") == origin.view_key(
        {"view": {**VIEW["view"], "state": {}}}, "T1"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (message("1.1"), message("1.2")),
        (message("1.1"), message("1.1", channel="C2")),
        (message("1.1"), message("1.1", workspace="T2")),
        (message("1"), origin.trigger_key({"trigger_id": "1"}, "T1")),
        (
            origin.view_key(VIEW, "T1"),
            origin.view_key({"view": {"id": "V1", "hash": "1.b"}}, "T1"),
        ),
        (
            origin.view_key(VIEW, "T1"),
            origin.view_key({"view": {"id": "V2", "hash": "1.a"}}, "T1"),
        ),
    ],
)
def test_different_things_have_different_names(one, other):
    assert one != other


def test_what_slack_did_not_name_is_never_taken_for_a_repetition():
    assert origin.message_key({}, "C1", "T1") is None
    assert origin.trigger_key({}, "T1") is None


def test_an_edited_message_has_the_name_that_it_had_before():
    assert message("1.1", text="a fox") == message("1.1", text="an owl", edited={"ts": "1.2"})
