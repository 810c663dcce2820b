"""Cards as JSON, for the control socket and its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commands.actions import ButtonId
from commands.text.card import Attachment, Bar, Button, Card, CardKind, Instant, Line, Person


def card_to_json(card: Card) -> dict[str, Any]:
    """Return plain JSON data; `card_from_json` is the inverse."""
    return {
        "kind": card.kind.value,
        "title": card.title,
        "owner": None if card.owner is None else _part_to_json(card.owner),
        "lines": [[_part_to_json(part) for part in line] for line in card.lines],
        "progress": card.progress and {"done": card.progress.done, "total": card.progress.total},
        "buttons": [{"id": button.id, "label": button.label} for button in card.buttons],
        "attachment": card.attachment
        and {
            "path": str(card.attachment.path),
            "name": card.attachment.name,
            "description": card.attachment.description,
            "spoiler": card.attachment.spoiler,
        },
        "job": card.job,
        "private": card.private,
        "ping": card.ping,
        "option": card.option,
    }


def card_from_json(data: dict[str, Any]) -> Card:
    """Rebuild a card.

    Raises:
        KeyError: A member is missing.
        NotFound: A button's id is not one of ours.
    """
    owner, bar, attachment = data["owner"], data["progress"], data["attachment"]
    return Card(
        kind=CardKind(data["kind"]),
        title=data["title"],
        owner=None if owner is None else Person(**owner),
        lines=tuple(_line_from_json(line) for line in data["lines"]),
        progress=None if bar is None else Bar(**bar),
        buttons=tuple(
            Button(key=ButtonId.decode(button["id"]), label=button["label"])
            for button in data["buttons"]
        ),
        attachment=attachment
        and Attachment(
            path=Path(attachment["path"]),
            name=attachment["name"],
            description=attachment["description"],
            spoiler=attachment["spoiler"],
        ),
        job=data["job"],
        private=data["private"],
        ping=data["ping"],
    )


def _part_to_json(part: str | Instant | Person) -> Any:
    match part:
        case Instant(at=at):
            return {"at": at}
        case Person(id=identity, name=name):
            return {"id": identity, "name": name}
        case _:
            return part


def _line_from_json(parts: list[Any]) -> Line:
    return tuple(
        part if isinstance(part, str) else Instant(**part) if "at" in part else Person(**part)
        for part in parts
    )
