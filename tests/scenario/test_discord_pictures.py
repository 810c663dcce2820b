"""*Animate this image* on whatever shows a picture on Discord."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.fakes.discord import File
from tests.scenario.discord_studio import installation

pytestmark = pytest.mark.process

PROMPT = "it blinks --res 360p --frames 49"
MENU = "Animate this image"
GALLERY = 12
CONTAINER = 17
SECTION = 9
TEXT = 10
THUMBNAIL = 11


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


def picture(name: str = "fox.png", content_type: str = "image/png") -> File:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "PNG")
    return File(name=name, data=data.getvalue(), content_type=content_type)


def linked(place) -> dict:
    """Return what Discord makes of a link to a picture."""
    copy = place.discord.cdn.copy(picture())
    shown = {"url": "https://example.org/fox.png", "proxy_url": copy, "width": 64, "height": 48}
    return {"type": "image", "url": shown["url"], "thumbnail": shown}


def plain(place):
    return place.alice.say(place.general, "look", picture())


def forwarded(place):
    return place.boss.forward(plain(place), place.general)


def forwarded_twice(place):
    return place.alice.forward(forwarded(place), place.general)


def forwarded_link(place):
    message = place.alice.say(place.general, "link", embeds=[linked(place)])
    return place.alice.forward(message, place.general)


def link(place):
    return place.alice.say(place.general, "https://example.org/fox.png", embeds=[linked(place)])


def news(place):
    shown = linked(place)["thumbnail"]
    embed = {"type": "rich", "title": "News", "image": shown, "url": "https://example.org"}
    return place.alice.say(place.general, "", embeds=[{"type": "article"}, embed])


def moving(place):
    shown = linked(place)["thumbnail"]
    video = {"url": "https://example.org/fox.mp4", "width": 64, "height": 48}
    return place.alice.say(
        place.general, "", embeds=[{"type": "gifv", "thumbnail": shown, "video": video}]
    )


def untyped(place):
    return place.alice.say(place.general, "look", picture("IMG_1.PNG", content_type=""))


def misnamed_type(place):
    return place.alice.say(place.general, "look", picture("fox.png", "application/octet-stream"))


def second_file(place):
    notes = File(name="notes.txt", data=b"notes", content_type="text/plain")
    scan = File(name="fox.tiff", data=b"tiff", content_type="image/tiff")
    return place.alice.say(place.general, "look", notes, scan, picture())


def gallery(place):
    media = {"url": "https://example.org/fox.png", "proxy_url": place.discord.cdn.copy(picture())}
    items = [{"media": media, "description": None, "spoiler": False}]
    inner = {"type": GALLERY, "id": 2, "items": items}
    outer = {"type": CONTAINER, "id": 1, "components": [inner], "spoiler": False}
    return place.alice.say(place.general, "", components=[outer])


def thumbnail(place):
    media = {"url": "https://example.org/fox.png", "proxy_url": place.discord.cdn.copy(picture())}
    section = {
        "type": SECTION,
        "id": 1,
        "components": [{"type": TEXT, "id": 2, "content": "fox"}],
        "accessory": {"type": THUMBNAIL, "id": 3, "media": media, "spoiler": False},
    }
    return place.alice.say(place.general, "", components=[section])


SHOWN = [
    *(plain, forwarded, forwarded_twice, forwarded_link, link, news, moving),
    *(untyped, misnamed_type, second_file, gallery, thumbnail),
]


@pytest.mark.parametrize("shown", [SHOWN[:3], pytest.param(SHOWN[3:], marks=pytest.mark.slow)])
async def test_a_picture_is_animated_wherever_a_message_shows_it(place, shown):
    async with place.bot():
        cards = []
        for show in shown:
            opened = place.alice.context_menu(show(place), MENU)
            assert set((await opened.form()).fields), show
            card = await place.alice.submit(opened, prompt=PROMPT).response()
            assert "it blinks" in card.text, show
            cards.append(card)
            await place.clip(card)
    fetched = place.discord.cdn.fetched
    assert len(fetched) == len(shown)
    assert all(each.startswith("200 ") for each in fetched)


@pytest.mark.tour
async def test_stickers_are_pictures_unless_they_are_drawn_from_vectors(place):
    async with place.bot(section={"cdn_hosts": ["cdn.discordapp.com", "media.discordapp.net"]}):
        for kind in (1, 2, 4):
            sticker = {"id": "1", "name": "fox", "format_type": kind}
            message = place.alice.say(place.general, "", stickers=[sticker])
            fields = (await place.alice.context_menu(message, MENU).form()).fields.values()
            assert any("/stickers/1." in field.get("value", "") for field in fields)
        vectors = {"id": "1", "name": "fox", "format_type": 3}
        message = place.alice.say(place.general, "", stickers=[vectors])
        assert "no image" in (await place.alice.context_menu(message, MENU).response()).text


async def test_pictures_elsewhere_and_files_of_other_kinds_are_no_pictures(place):
    elsewhere = {"url": "https://example.org/fox.png", "width": 64, "height": 48}
    inside = {"url": "http://127.0.0.1:9/fox.png", "proxy_url": "http://169.254.169.254/latest"}
    async with place.bot():
        for message in (
            place.alice.say(place.general, "nothing"),
            place.alice.say(place.general, "", embeds=[{"type": "image", "thumbnail": elsewhere}]),
            place.alice.say(place.general, "", embeds=[{"type": "rich", "image": inside}]),
            place.alice.say(place.general, "", File(name="fox", data=b"x", content_type="")),
        ):
            answer = await place.alice.context_menu(message, MENU).response()
            assert "has no image" in answer.text
            assert answer.visible_to is place.alice.user
    assert place.discord.cdn.fetched == []


async def test_a_clip_of_ours_says_how_to_go_on_and_its_settings_are_found_when_forwarded(place):
    async with place.bot():
        prompt = "a fox --res 360p --frames 49"
        card = await place.alice.slash(place.general, "generate", prompt=prompt).response()
        clip = await place.clip(card)
        for message in (clip, place.alice.forward(clip, place.general)):
            answer = await place.alice.context_menu(message, MENU).response()
            assert "a video, not an image" in answer.text
            opened = place.alice.context_menu(message, "Use these settings")
            fields = (await opened.form()).fields.values()
            assert "a fox" in {field.get("value") for field in fields}
