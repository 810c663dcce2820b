from __future__ import annotations

import pytest

from bot.slack import once

VIEW = {"view": {"id": "V1", "hash": "1.a"}}


def test_the_same_thing_has_the_same_name():
    assert once.of_event({"event_id": "Ev1"}, "T1") == once.of_event({"event_id": "Ev1"}, "T1")
    assert once.of_view(VIEW, "T1") == once.of_view({"view": {**VIEW["view"], "state": {}}}, "T1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (once.of_event({"event_id": "Ev1"}, "T1"), once.of_event({"event_id": "Ev2"}, "T1")),
        (once.of_event({"event_id": "Ev1"}, "T1"), once.of_event({"event_id": "Ev1"}, "T2")),
        (once.of_event({"event_id": "1"}, "T1"), once.of_trigger({"trigger_id": "1"}, "T1")),
        (once.of_view(VIEW, "T1"), once.of_view({"view": {"id": "V1", "hash": "1.b"}}, "T1")),
        (once.of_view(VIEW, "T1"), once.of_view({"view": {"id": "V2", "hash": "1.a"}}, "T1")),
    ],
)
def test_different_things_have_different_names(one, other):
    assert one != other


def test_what_slack_did_not_name_is_never_taken_for_a_repetition():
    assert once.of_event({}, "T1") is None
    assert once.of_trigger({}, "T1") is None


def test_a_repetition_has_the_name_of_the_first():
    first = {"event_id": "Ev1"}
    again = {**first, "retry_attempt": 2, "retry_reason": "timeout"}
    assert once.of_event(first, "T1") == once.of_event(again, "T1")
