from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.actions import MAX_LENGTH, Action, ButtonId
from inference.domain.errors import NotFound
from inference.domain.job import new_job_id


@given(st.sampled_from(Action), st.builds(new_job_id))
def test_a_button_finds_its_job_again(action, job):
    choice = None if action.about_job else 3
    action = ButtonId(action=action, job=job, choice=choice)
    assert ButtonId.decode(action.encode()) == action
    assert len(action.encode()) <= MAX_LENGTH


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1:cancel",
        "v1:cancel:",
        "v1:cancel:SHORT",
        "v1:explode:7Q2FK9XDAB",
        "v2:cancel:7Q2FK9XDAB",
        "v1:cancel:7q2fk9xdab",
        "v1:cancel:7Q2FK9XDAB\n",
        "v1:cancel:7Q2FK9XDAB:more",
        "v1:cancel:7Q2FK9XDAB:0",
        "v1:change:7Q2FK9XDAB",
        "v1:change:7Q2FK9XDAB:10",
        "v1:cancel:../../etc",
        "v1:cancel:" + "A" * 100,
    ],
)
def test_a_forged_button_is_unknown(text):
    with pytest.raises(NotFound):
        ButtonId.decode(text)


@given(st.text())
def test_any_text_as_a_button_is_known_or_unknown_and_nothing_else(text):
    try:
        action = ButtonId.decode(text)
    except NotFound:
        return
    assert action.encode() == text
