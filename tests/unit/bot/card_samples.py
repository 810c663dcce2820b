"""Cards as they come out of `commands.text.cards`, for what draws and carries them."""

from __future__ import annotations

from pathlib import Path

from commands.actions import Action, ButtonId
from commands.text.card import Attachment, Bar, Button, Card, CardKind, Instant, Person

KIM = Person(id="kim", name="kim")
FOX = "🎬 a red fox running through snow"


def button(action: Action, label: str) -> Button:
    return Button(key=ButtonId(action=action, job="7Q2FK9XDAB"), label=label)


WAITING = Card(
    kind=CardKind.WAITING,
    title=FOX,
    owner=KIM,
    facts="720p · 16:9 · 97 frames (4.0 s) · motion fair · seed 48151623",
    lines=(("2nd in queue · starts in about 1 min, ready about ", Instant(at=52320.0)),),
    buttons=(button(Action.CANCEL, "Cancel"),),
    job="7Q2FK9XDAB",
)
RUNNING = Card(
    kind=CardKind.RUNNING,
    title=FOX,
    owner=KIM,
    lines=(("step 18 of 30 · about 14 s left",),),
    progress=Bar(done=18, total=30),
    buttons=(button(Action.CANCEL, "Cancel"),),
    job="7Q2FK9XDAB",
)
CLIP = Card(
    kind=CardKind.CLIP,
    lines=((KIM, "  here it is"), ("720p · 97 frames · seed 48151623 · job 7Q2FK9XDAB",)),
    buttons=(button(Action.REROLL, "Reroll"), button(Action.INFO, "Info")),
    attachment=Attachment(
        path=Path("data/threads/studio/7Q2FK9XDAB/7Q2FK9XDAB.mp4"),
        name="7Q2FK9XDAB.mp4",
        description="a red fox running through snow",
    ),
    job="7Q2FK9XDAB",
)
ERROR = Card(kind=CardKind.ERROR, lines=(("--frames cannot be “50”.",),), private=True)
