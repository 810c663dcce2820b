"""Converts cards to JSON and back, for the control socket and its clients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from commands.actions import ButtonId
from commands.text.card import Card

_CARD = TypeAdapter(Card)


def card_to_json(card: Card) -> dict[str, Any]:
    """Return plain JSON data; `card_from_json` is the inverse."""
    data: dict[str, Any] = _CARD.dump_python(card, mode="json")
    data["buttons"] = [
        {
            "id": button.id,
            "label": button.label,
            "confirm": button.confirm and asdict(button.confirm),
        }
        for button in card.buttons
    ]
    return data


def card_from_json(data: dict[str, Any]) -> Card:
    """Rebuild a card.

    Raises:
        ValidationError: A member is missing or of another type.
        NotFound: A button's id is not one of ours.
    """
    buttons = [
        {
            "key": ButtonId.decode(button["id"]),
            "label": button["label"],
            "confirm": button.get("confirm"),
        }
        for button in data["buttons"]
    ]
    return _CARD.validate_python({**data, "buttons": buttons})
