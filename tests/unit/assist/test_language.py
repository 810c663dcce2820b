from __future__ import annotations

import subprocess
import sys

import pytest

from inference.assist.language import Languages


@pytest.fixture(scope="module")
def languages():
    return Languages()


FOREIGN = (
    "눈 속을 달리는 붉은 여우",
    "여우",
    "雪の中を走る狐",
    "一只狐狸在雪中奔跑",
    "рыжая лиса бежит по снегу",
    "ثعلب أحمر يركض في الثلج",
    "붉은 여우, cinematic, 4k",
    "ein roter Fuchs läuft durch den Schnee",
    "un renard roux court dans la neige",
    "un zorro rojo corre hacia la casa de los abuelos",
    "una volpe rossa corre nella neve",
    "een rode vos rent door de sneeuw",
    "czerwony lis biegnie przez śnieg",
    "một con cáo đỏ chạy trong tuyết",
    "raposa vermelha correndo na neve",
    "en röd räv springer genom snön",
    "seekor rubah merah berlari di salju",
)
ENGLISH = (
    "a red fox",
    "a red fox running through snow",
    "cat",
    "sushi chef",
    "tango",
    "fjord",
    "zebra",
    "bonsai tree",
    "ninja vs samurai",
    "neon tokyo street",
    "barista latte art",
    "cyberpunk alley, rain, neon",
    "Volkswagen beetle in Berlin",
    "aurora borealis over Iceland",
    "pizza margherita on a table",
    "hyperrealistic portrait, 85mm",
    "Rio de Janeiro carnival dancers",
    "mona lisa drinking espresso macchiato",
    "Godzilla attacks Tokyo, kaiju film",
    "papillon dog on the beach",
    "an old samurai meditating under cherry blossoms",
    "a neon sign that says 서울 over a wet street at night",
    "2 cats, 1 dog, ultra HD",
    "a blue star zooming across the night sky",
    "…",
    "42",
    "",
)


@pytest.mark.parametrize("text", FOREIGN)
async def test_other_languages_are_recognised(languages, text):
    assert await languages.is_foreign(text)


@pytest.mark.parametrize("text", ENGLISH)
async def test_english_stays_english_however_short(languages, text):
    assert not await languages.is_foreign(text)


@pytest.mark.process
def test_scripts_and_short_texts_need_no_model():
    program = (
        "import asyncio, sys; from inference.assist.language import Languages;"
        "texts = ('여우', 'a red fox', 'sushi chef');"
        "[asyncio.run(Languages().is_foreign(text)) for text in texts];"
        "print('py3langid' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
