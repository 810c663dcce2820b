from __future__ import annotations

import pytest

from bot.discord.address import Posted, read_creation_time
from bot.discord.outbound.edit_throttle import EDITS_IN_WINDOW, WINDOW_SECONDS, EditThrottle
from tests.fakes.clock import ManualClock

CARD = Posted(channel=1, message=1574165719233331203)


@pytest.fixture
def clock():
    return ManualClock(read_creation_time(CARD.message).timestamp())


def test_progress_leaves_room_for_what_matters(clock):
    pace = EditThrottle(clock)
    for _ in range(EDITS_IN_WINDOW):
        assert pace.allows(CARD)
        pace.note_edit(CARD)
    assert not pace.allows(CARD)
    assert pace.allows(Posted(channel=2, message=CARD.message))
    clock.advance(WINDOW_SECONDS)
    assert pace.allows(CARD)


def test_an_old_message_shows_progress_once_a_minute(clock):
    pace = EditThrottle(clock)
    clock.advance(3700)
    assert pace.allows(CARD)
    pace.note_edit(CARD)
    clock.advance(30)
    assert not pace.allows(CARD)
    clock.advance(31)
    assert pace.allows(CARD)
