from __future__ import annotations

import json

import pytest

from bot.control.card_json import card_from_json, card_to_json
from inference.domain.errors import NotFound
from tests.unit.bot.card_samples import CLIP, ERROR, RUNNING, WAITING


@pytest.mark.parametrize("card", [WAITING, RUNNING, CLIP, ERROR], ids=lambda card: card.kind)
def test_a_card_comes_back_from_json_as_it_was(card):
    assert card_from_json(json.loads(json.dumps(card_to_json(card)))) == card


def test_a_button_that_is_not_ours_is_refused():
    data = card_to_json(WAITING)
    data["buttons"][0]["id"] = "v9:explode:7Q2FK9XDAB"
    with pytest.raises(NotFound):
        card_from_json(data)
