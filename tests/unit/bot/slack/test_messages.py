from __future__ import annotations

import pytest

from bot.slack.inbound import messages
from bot.slack.inbound.messages import LatestEdits, UserMessage

SAID = {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.1", "text": "a fox"}
EDITED = {**SAID, "edited": {"user": "U1", "ts": "2.1"}, "text": "an owl"}


def changed(now, before):
    message = {"user": "U1", "ts": "1.1", "edited": {"user": "U1", "ts": "2.1"}, **now}
    event = {"type": "message", "subtype": "message_changed", "channel": "D1", "message": message}
    return {**event, "previous_message": {"user": "U1", "ts": "1.1", **before}}


def test_what_people_write_and_edit_is_read():
    assert UserMessage.read(SAID).edited_at == ""
    assert (UserMessage.read(EDITED).text, UserMessage.read(EDITED).edited_at) == ("an owl", "2.1")
    read = UserMessage.read(changed({"text": "an owl"}, {"text": "a fox"}))
    assert (read.text, read.message["channel"], read.edited_at) == ("an owl", "D1", "2.1")
    assert UserMessage.read(changed({"text": "an owl"}, {})).text == "an owl"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({**SAID, "bot_id": "B1"}, id="of a bot"),
        pytest.param({**SAID, "user": None}, id="of nobody"),
        pytest.param({**SAID, "ts": None}, id="without a place"),
        pytest.param({**SAID, "subtype": "channel_join"}, id="of Slack"),
        pytest.param({**EDITED, "edited": {"user": "U2", "ts": "2.1"}}, id="edited by others"),
        pytest.param(changed({"text": "a fox"}, {"text": "a fox"}), id="the same words"),
        pytest.param(changed({"text": "b", "edited": None}, {"text": "a"}), id="no edit: unfurled"),
        pytest.param(changed({"text": "b", "bot_id": "B1"}, {"text": "a"}), id="of a bot, changed"),
        pytest.param(changed({"text": "b", "subtype": "tombstone"}, {"text": "a"}), id="deleted"),
        pytest.param({**SAID, "subtype": "message_changed"}, id="nothing inside"),
        pytest.param({**SAID, "subtype": "message_deleted"}, id="deleted elsewhere"),
    ],
)
def test_what_nobody_wrote_or_edited_is_not(event):
    assert UserMessage.read(event) is None


def test_an_edit_is_news_once_and_only_the_newest_counts(monkeypatch):
    monkeypatch.setattr(messages, "MAX_REMEMBERED", 2)
    newest = LatestEdits()
    said, edited = UserMessage.read(SAID), UserMessage.read(EDITED)
    assert newest.is_new("a", said)
    assert newest.is_new("a", said)  # its answer may have been lost
    assert newest.is_new("a", edited)
    assert not newest.is_new("a", edited)
    assert not newest.is_new("a", said)  # overtaken
    newest.forget("a")
    assert newest.is_new("a", edited)
    for other in "bc":
        newest.is_new(other, said)
    assert newest.is_new("a", edited)  # forgotten by now
