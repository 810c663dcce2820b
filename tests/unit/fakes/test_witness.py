"""The witness of the crash tests knows which messages tell the end of which jobs."""

from __future__ import annotations

import pytest

from tests.chaos.records import Message, State
from tests.chaos.server import Witness


def said(identity: str, channel: str, key: str, kind: str) -> Message:
    state = State(at=1.0, kind=kind, content=key)
    return Message(id=identity, place="nonce", channel=channel, key=key, states=[state])


@pytest.fixture
def seen(tmp_path):
    return Witness(tmp_path)


def test_a_notice_of_one_of_several_tells_for_all_in_the_thread_of_their_card(seen):
    seen.messages.append(said("m1", "c-g1", "FIRST:card", "failed"))
    assert not seen.ended("FIRST", "a fox")
    seen.messages.append(said("m2", "m1", "SECOND:notice", "failed"))
    assert seen.ended("FIRST", "a fox")
    assert [notice.id for notice in seen.notices("FIRST")] == ["m2"]


def test_a_notice_in_another_thread_tells_nothing(seen):
    seen.messages.append(said("m1", "c-g1", "FIRST:card", "failed"))
    seen.messages.append(said("m2", "c-g1", "OTHER:card", "failed"))
    seen.messages.append(said("m3", "m2", "OTHER:notice", "failed"))
    assert not seen.ended("FIRST")
