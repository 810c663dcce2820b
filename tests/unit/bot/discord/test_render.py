from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bot.discord.outbound.render import message
from commands.actions import Action, ButtonId
from commands.text.card import Attachment, Bar, Button, Card, CardKind, Instant, Person

FIELDS = st.text(max_size=6000)
PERSON = Person(id="4711", name="ali_ce")


def card(**changes) -> Card:
    given_ = {
        "kind": CardKind.RUNNING,
        "title": "🎬 a *red* fox",
        "owner": PERSON,
        "lines": (("720p",), ("step 3 of 4",)),
        "job": "7Q2FK9XDAB",
    }
    return Card(**{**given_, **changes})


async def test_a_card_is_an_embed_with_its_bar_its_owner_and_its_job():
    drawn = message(card(progress=Bar(done=1, total=2)))
    [embed] = drawn.embeds
    assert drawn.content is None
    assert embed.title == r"🎬 a \*red\* fox"
    assert embed.description == "720p\n▓▓▓▓▓▓▓▓░░░░░░░  step 3 of 4"
    assert embed.footer.text == "@\u2068ali_ce\u2069 · 7Q2FK9XDAB"


async def test_a_card_that_notifies_is_content_and_pings_whom_it_names_only():
    drawn = message(card(kind=CardKind.CLIP, ping=True, lines=((PERSON, " here, @everyone"),)))
    assert drawn.embeds == []
    assert "<@4711> here, \\@everyone" in drawn.content
    assert drawn.allowed_mentions.to_dict() == {"users": [4711], "parse": []}


async def test_a_card_that_does_not_notify_mentions_nobody():
    drawn = message(card(lines=((PERSON,),)))
    assert drawn.allowed_mentions.to_dict() == {"parse": []}


async def test_without_the_right_to_embed_a_card_is_text_with_the_same_words():
    drawn = message(card(), embeds=False, link="→ <#1>")
    assert drawn.embeds == []
    assert drawn.content.splitlines() == [
        r"**🎬 a \*red\* fox**",
        "720p",
        "step 3 of 4",
        "→ <#1>",
        "-# @\u2068ali\\_ce\u2069 · 7Q2FK9XDAB",
    ]


async def test_times_are_shown_in_the_zone_of_the_reader():
    drawn = message(card(lines=(("ready about ", Instant(at=1795379462.9)),)))
    assert drawn.embeds[0].description == "ready about <t:1795379462:t>"


@given(title=FIELDS, line=FIELDS, owner=FIELDS, embeds=st.booleans(), ping=st.booleans())
async def test_whatever_a_card_says_fits_into_a_message(title, line, owner, embeds, ping):
    drawn = message(
        card(
            title=title,
            lines=((line,), (line,)),
            owner=Person(id="1", name=owner),
            progress=Bar(done=1, total=3),
            ping=ping,
            attachment=Attachment(path=Path("clip.mp4"), name="clip.mp4", description=line),
            buttons=tuple(
                Button(key=ButtonId(action=Action.INFO, job="7Q2FK9XDAB"), label=line[:200] or "x")
                for _ in range(30)
            ),
        ),
        embeds=embeds,
        link="→ <#1574165719233331203>",
    )
    assert len(drawn.content or "") <= 2000
    for embed in drawn.embeds:
        assert len(embed.title or "") <= 256
        assert len(embed.description or "") <= 4096
        assert len(embed) <= 6000
    rows = drawn.view.to_components()
    assert len(rows) <= 5
    for row in rows:
        assert len(row["components"]) <= 5
        assert all(len(button["label"]) <= 80 for button in row["components"])


async def test_a_message_with_buttons_is_not_kept_in_memory():
    button = Button(key=ButtonId(action=Action.CANCEL, job="7Q2FK9XDAB"), label="Cancel")
    assert message(card(buttons=(button,))).view.is_finished()
