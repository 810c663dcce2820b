"""Somebody who speaks Korean, from the first command to an error, wherever they ask."""

from __future__ import annotations

import re

import pytest

from tests.scenario.discord_studio import SECONDS, installation
from tests.scenario.slack_house import card_of, clip_below
from tests.scenario.terminal_process import Shell

FOX = "눈 속을 달리는 붉은 여우 --res 360p --frames 49"
HANGUL = re.compile("[가-힣]")
ENGLISH = re.compile(
    r"\b(the|is|are|of|in|on|your|this|here|frames?|ready|line|seed|job|cancel|edit|motion)\b",
    re.IGNORECASE,
)


def assert_korean(said: str) -> None:
    """Say that words are Korean: some of it, and nothing that only English has."""
    assert HANGUL.search(said), said
    assert not ENGLISH.search(re.sub(r"/rushes\S* \w+|/\w+|--\w+", "", said)), said


# -- Discord ---------------------------------------------------------------------------------


@pytest.fixture
async def place(tmp_path):
    async with installation(tmp_path / "data") as place:
        place.discord.api.limits.on = False
        yield place


@pytest.mark.process
async def test_on_discord_everything_is_in_the_language_of_whoever_asks(place):
    minji = place.discord.add_person("minji", place.guild, locale="ko")
    async with place.bot():
        card = await minji.slash(place.general, "generate", prompt=FOX).response()
        clip = await place.clip(card)
        await place.discord.until(lambda: "만에 완성" in card.text, SECONDS, "card done")
        assert_korean(card.text)
        assert_korean(clip.text)
        labels = [button["label"] for button in clip.buttons]
        assert labels[:2] == ["다시 뽑기", "수정"]
        form = minji.click(clip, "수정")
        fields = (await form.form()).fields.values()
        assert_korean(" ".join(field["label"] for field in fields))
        info = (await minji.click(clip, "정보").response()).text
        assert "움직임: 보통" in info
        assert_korean((await minji.slash(place.general, "rushes help").response()).text)
        wrong = await minji.slash(place.general, "generate", prompt="여우 --seed x").response()
        assert wrong.visible_to is minji.user
        assert_korean(wrong.text)
        # Who pressed a button on a Korean card is answered in their own language.
        seen = (await place.alice.click(clip, "정보").response()).text
        assert "motion: fair" in seen


@pytest.mark.process
async def test_what_everybody_sees_is_in_the_language_that_the_admins_chose(place):
    async with place.bot():
        set_to = place.boss.slash(
            place.general, "rushes-admin settings", action="set", key="language", value="ko"
        )
        assert "language is now ko" in (await set_to.response()).text
        card = await place.alice.slash(place.general, "image", prompt="a fox").response()
        clip = await place.clip(card)
        await place.discord.until(lambda: "만에 완성" in card.text, SECONDS, "card done")
        assert_korean(clip.text)
        queue = await place.alice.slash(place.general, "rushes queue").response()
        assert "The queue is empty" in queue.text


# -- Slack -----------------------------------------------------------------------------------


@pytest.fixture
def minji(acme):
    return acme.add_user("minji", locale="ko-KR")


@pytest.mark.slow
async def test_on_slack_everything_is_in_the_language_of_whoever_asks(slack, house, acme, minji):
    channel = acme.add_channel("studio", minji)
    await minji.command(channel, "/generate", FOX)
    card = await minji.wait_for(channel, card_of("붉은 여우"))
    clip = await clip_below(slack, card)
    assert_korean(clip.words)
    await minji.wait_for(channel, lambda message: "만에 완성" in message.words)
    wrong = await minji.command(channel, "/generate", "여우 --seed x")
    assert_korean(wrong.payload["text"])
    await minji.command(channel, "/generate")
    form = await minji.wait_for_modal()
    labels = [b["label"]["text"] for b in form.content["blocks"] if b["type"] == "input"]
    assert_korean(" ".join([form.content["title"]["text"], *labels]))
    assert form.content["submit"]["text"] == "만들기"
    reply = await minji.submit(form, {"prompt": "여우 --frames 12"})
    assert_korean(" ".join(reply.payload["errors"].values()))
    await minji.open_home()
    assert_korean((await minji.wait_for_home()).words)


# -- the terminal ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.process
def test_in_the_terminal_everything_is_in_the_language_that_was_asked_for(tmp_path):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    script = f"/generate {FOX}\n/rushes queue\n/rushes cancel NOSUCH\n/generate 여우 --seed x\n"
    ended = shell.rushes("chat", "--lang", "ko", "--as", "kim", script=script)
    assert ended.code == 1
    answers = [line for line in ended.out.splitlines() if not line.startswith(("▶", "kim@"))]
    for part in ("완성됐어요", "대기열에 있는 작업", "작업 NOSUCH", "정수여야 해요"):
        assert part in ended.out
    assert not ENGLISH.search(re.sub(r"/rushes\S* \w+|/\S+|--\w+", "", "\n".join(answers)))


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("--lang", "ko", "queue"), {}),
        (("queue", "--lang=ko"), {}),
        (("queue",), {"LANG": "ko_KR"}),
    ],
)
def test_errors_and_help_of_the_command_line_are_korean(tmp_path, arguments, environment):
    shell = Shell(directory=tmp_path)
    shell.write_config()
    refused = shell.rushes(*arguments, **environment)
    assert refused.code == 1
    assert "실행 중인 Rushes가 없어요" in refused.err
    helped = shell.rushes(*arguments, "--help", **environment)
    assert helped.out.startswith("사용법: ")
    assert "대기열을 보여 줘요" in helped.out
