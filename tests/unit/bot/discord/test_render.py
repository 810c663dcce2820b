from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.discord.outbound.render import CardStyle, Link, Picture, choose_style, message
from commands.actions import Action, ButtonId
from commands.text.card import Attachment, Bar, Button, Card, CardKind, Instant, Person
from tests.fakes.discord.entities import COMPONENTS_V2, walk
from tests.fakes.discord.message_rules import check_message

FIELDS = st.text(max_size=60) | st.builds(
    str.__mul__, st.text(min_size=1, max_size=60), st.just(100)
)
PERSON = Person(id="4711", name="ali_ce")
LINK = Link(url="https://discord.com/channels/1/2/3", label="Open clip ↗", markup="→ <#1>")
TEXT, GALLERY, CONTAINER, LINK_STYLE, GREY = 10, 12, 17, 5, 2


def card(**changes) -> Card:
    given_ = {
        "kind": CardKind.RUNNING,
        "title": "🎬 a *red* fox",
        "owner": PERSON,
        "lines": (("720p",), ("step 3 of 4",)),
        "job": "7Q2FK9XDAB",
    }
    return Card(**{**given_, **changes})


def buttons(*actions: Action) -> tuple[Button, ...]:
    return tuple(
        Button(key=ButtonId(action=action, job="7Q2FK9XDAB"), label=action.title())
        for action in actions
    )


async def test_the_card_of_a_job_is_a_container_in_the_colour_of_its_state():
    drawn = message(
        card(
            facts="720p · seed 1",
            lines=(("step 3 of 4",),),
            progress=Bar(done=1, total=2),
            ready=("ready about ", Instant(at=1795379462.0)),
            buttons=buttons(Action.CANCEL, Action.INFO),
        ),
        picture=Picture(description="a red fox"),
    )
    assert (drawn.content, drawn.embeds, drawn.layout) == (None, [], True)
    [container] = drawn.view.to_components()
    assert container["type"] == CONTAINER
    assert container["accent_color"] == 0x5865F2
    head, gallery, body, row = container["components"]
    assert head["content"].splitlines() == [
        r"### 🎬 a \*red\* fox",
        "-# 720p · seed 1",
        "-# @\u2068ali\\_ce\u2069 · 7Q2FK9XDAB",
    ]
    [item] = gallery["items"]
    assert (item["media"]["url"], item["description"], item["spoiler"]) == (
        "attachment://preview.jpg",
        "a red fox",
        False,
    )
    assert body["content"].splitlines() == [
        "▓▓▓▓▓▓▓▓░░░░░░░  **50 %** · ready about <t:1795379462:t>",
        "-# step 3 of 4",
    ]
    assert [(each["label"], each["style"]) for each in row["components"]] == [
        ("Cancel", GREY),
        ("Info", GREY),
    ]


async def test_a_finished_card_has_its_link_its_buttons_and_a_menu_for_the_rest():
    every = (Action.REROLL, Action.EDIT, Action.EXTEND, Action.INFO, Action.LARGER, Action.DELETE)
    done = card(kind=CardKind.DONE, buttons=buttons(*every), menu="More…")
    [container] = message(done, links=[LINK]).view.to_components()
    *_, row, menu = container["components"]
    assert [each["label"] for each in row["components"]] == [
        *("Open clip ↗", "Reroll", "Edit", "Extend", "Info")
    ]
    assert (row["components"][0]["style"], row["components"][0]["url"]) == (LINK_STYLE, LINK.url)
    [select] = menu["components"]
    assert (select["custom_id"], select["placeholder"]) == ("v1:more:7Q2FK9XDAB", "More…")
    assert [each["value"] for each in select["options"]] == [
        "v1:larger:7Q2FK9XDAB",
        "v1:delete:7Q2FK9XDAB",
    ]


async def test_what_is_hidden_is_a_spoiler_of_discord():
    drawn = message(card(), picture=Picture(description="job 7Q2FK9XDAB", spoiler=True))
    [gallery] = [each for each in walk(drawn.view.to_components()) if each["type"] == GALLERY]
    assert gallery["items"][0]["spoiler"] is True


async def test_an_older_card_stays_an_embed():
    drawn = message(card(progress=Bar(done=1, total=2)), style=CardStyle.EMBED)
    [embed] = drawn.embeds
    assert drawn.content is None
    assert embed.title == r"🎬 a \*red\* fox"
    assert embed.description == "720p\n▓▓▓▓▓▓▓▓░░░░░░░  step 3 of 4"
    assert embed.footer.text == "@\u2068ali_ce\u2069 · 7Q2FK9XDAB"


@pytest.mark.parametrize("kind", [CardKind.ERROR, CardKind.INFO])
async def test_what_only_one_person_reads_is_an_embed(kind):
    assert choose_style(Card(kind=kind, lines=(("no",),), private=True)) is CardStyle.EMBED


async def test_a_card_that_notifies_is_content_and_pings_whom_it_names_only():
    drawn = message(card(kind=CardKind.CLIP, ping=True, lines=((PERSON, " here, @everyone"),)))
    assert drawn.embeds == []
    assert "<@4711> here, \\@everyone" in drawn.content
    assert drawn.allowed_mentions.to_dict() == {"users": [4711], "parse": []}


async def test_a_card_that_does_not_notify_mentions_nobody():
    drawn = message(card(lines=((PERSON,),)))
    assert drawn.allowed_mentions.to_dict() == {"parse": []}


async def test_without_the_right_to_embed_a_card_is_text_with_the_same_words():
    drawn = message(card(), embeds=False, links=[LINK])
    assert drawn.embeds == []
    assert drawn.content.splitlines() == [
        r"**🎬 a \*red\* fox**",
        "720p",
        "step 3 of 4",
        "→ <#1>",
        "-# @\u2068ali\\_ce\u2069 · 7Q2FK9XDAB",
    ]


@pytest.mark.parametrize("style", list(CardStyle))
async def test_times_are_shown_in_the_zone_of_the_reader(style):
    drawn = message(card(lines=(("ready about ", Instant(at=1795379462.9)),)), style=style)
    said = [drawn.content, *(embed.description for embed in drawn.embeds)]
    said += [each.get("content") for each in walk(drawn.view.to_components() if drawn.view else [])]
    assert "ready about <t:1795379462:t>" in "\n".join(filter(None, said)).splitlines()


ACTIONS = st.lists(st.sampled_from(Action), unique=True)


@given(
    words=st.tuples(FIELDS, FIELDS, FIELDS, st.text(max_size=400)),
    style=st.sampled_from(CardStyle),
    actions=ACTIONS,
    menu=st.sampled_from(["", "More…"]),
    shown=st.booleans(),
)
async def test_whatever_a_card_says_fits_into_a_message(words, style, actions, menu, shown):
    title, line, owner, label = words
    drawn = message(
        card(
            title=title,
            facts=line,
            lines=((line,), (line,)),
            owner=Person(id="1", name=owner),
            progress=Bar(done=1, total=3),
            ready=("ready ", Instant(at=1795379462.0)),
            ping=style is CardStyle.TEXT,
            attachment=Attachment(path=Path("clip.mp4"), name="clip.mp4", description=line),
            buttons=tuple(
                Button(key=ButtonId(action=action, job="7Q2FK9XDAB"), label=label or "x")
                for action in actions
            ),
            menu=menu,
        ),
        style=style,
        links=[LINK],
        picture=Picture(description=line or "x") if shown and style is CardStyle.LAYOUT else None,
    )
    body = {
        "content": drawn.content,
        "embeds": [embed.to_dict() for embed in drawn.embeds],
        "components": drawn.view.to_components() if drawn.view else [],
    }
    flags = COMPONENTS_V2 if drawn.layout else 0
    assert check_message(body, file_names=["preview.jpg"], flags=flags) == []
    if style is CardStyle.LAYOUT:
        said = [each["content"] for each in walk(body["components"]) if each["type"] == TEXT]
        lines = "\n".join(said).splitlines()
        assert any(each.endswith(" · 7Q2FK9XDAB") for each in lines)


@pytest.mark.parametrize("style", list(CardStyle))
async def test_a_message_with_buttons_is_not_kept_in_memory(style):
    assert message(card(buttons=buttons(Action.CANCEL)), style=style).view.is_finished()
