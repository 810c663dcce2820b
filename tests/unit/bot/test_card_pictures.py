"""Pictures of cards for the docs: every state is laid out from what is sent."""

import pytest

from benchmarks.card_html import SHOTS, Shown, discord_page, slack_page, terminal_page
from benchmarks.cards import (
    FIRST_PAGE,
    discord_payload,
    several,
    slack_payloads,
    states,
    still,
    terminal_html,
)


def discord():
    return [Shown(name, discord_payload(name, card, job)) for name, card, job in every()]


def slack():
    return [shown for each in every() for shown in slack_payloads(*each)]


def terminal():
    return [Shown(name, {"html": terminal_html(card)}) for name, card, _ in every()]


def every():
    return [*states(), *several()]


@pytest.mark.parametrize(
    ("chat", "page", "shown"),
    [
        ("discord", discord_page, discord),
        ("slack", slack_page, slack),
        ("terminal", terminal_page, terminal),
    ],
)
def test_every_state_is_drawn_for_every_chat(chat, page, shown):
    messages = shown()
    for shot in SHOTS[chat]:
        drawn = page(messages, shot, still())
        assert all(name.replace("'", "&#x27;") in drawn for name, _ in messages)
    if chat == "discord":
        assert set(FIRST_PAGE) <= {name for name, _ in messages}
