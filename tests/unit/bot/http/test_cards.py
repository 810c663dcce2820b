"""Cards of jobs that are asked for over HTTP, which nobody sees."""

from __future__ import annotations

from types import SimpleNamespace

from bot.app import make_card_factory
from bot.http.address import NAME
from commands.text.card import Card, CardKind
from inference.domain.outbox import ActKind
from tests.fakes.orders import a_job


def test_nothing_is_estimated_for_a_card_that_is_not_shown():
    nothing = SimpleNamespace()  # asked for anything, it raises
    paint = make_card_factory(nothing, nothing, "en", nothing, without={NAME})
    assert paint(a_job(platform=NAME), ActKind.CARD, None) == Card(kind=CardKind.INFO)
