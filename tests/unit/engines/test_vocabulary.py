"""The words that nano knows: its file, its captions, and the prompts that our pages name."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training.vocabulary import words
from benchmarks.training.world import korean
from commands.parsing.flags import parse
from inference.domain.vocabulary import Vocabulary
from inference.engines.built_in import NANO, NANO_WORDS
from tests.fakes.options import OPTIONS
from tests.fakes.orders import a_spec

WORDS = ("weights", "nano", "vocabulary.json")
ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "examples" / "demo.txt", *sorted((ROOT / "docs").glob("*.md"))]
TYPED = re.compile(r"(?:/generate|/image|@Rushes) +(?P<line>(?:a|the|one) [^`|\n]+)")
QUOTED = re.compile(r'rushes (?:render|submit) "(?P<line>[^"]+)"')
POSTED = re.compile(r'prompt"?[=:] ?"(?P<line>[^"]+)"')


def test_what_ships_knows_nothing_that_the_world_does_not_say():
    """Its words come from the world as it was when it was trained; the world may have grown."""
    world = words()
    for kind, names in NANO_WORDS.phrases.items():
        for name, said in names.items():
            assert said[0] == world[kind][name][0]
            assert set(said) <= set(world[kind][name])
    assert {tuple(pair) for pair in world["hiding"]} >= NANO_WORDS.hiding
    assert set(korean.SILENT) <= set(NANO_WORDS.korean)


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a red dragon", ("dragon",)),
        ("A RED DRAGON, and a Dragon!", ("dragon",)),
        ("a red ball bouncing in the snow", ()),
        ("a dragon's ball", ("dragon's",)),
        ("🐉", ("🐉",)),
        ("🐠 and a ⛵, ☀️", ()),
        ("a ball 👨‍👩‍👧‍👦 🏳️‍🌈, 🇰🇷!", ("👨‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇷")),
        ("a hat👍🏽", ("hat", "👍🏽")),
        ("a cafe\u0301 and a ze\u0323\u0308r", ("café", "z\u1eb9\u0308r")),
        ("हिन्दी ball", ("हिन्दी",)),
        ("ใหญ่ น้ำ", ("ใหญ่", "น้ำ")),
        ("'ball' of \u2019dragons\u2019", ("dragons",)),
        ("코끼리가", ("코끼리",)),
        ("빨간 공이", ()),
        ("3 dragons", ("dragons",)),
        ("빨간 코끼리가 눈 속에서 노래한다", ("코끼리", "노래한다")),
        ("빨간 공이 왼쪽으로 움직인다", ()),
        ("ein roter Fuchs", ("ein", "roter", "fuchs")),
        ("...", ()),
    ],
)
def test_what_nano_does_not_know_is_named_once_each(prompt, unknown):
    assert NANO_WORDS.unknown(prompt) == unknown


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("빨간 공이 왼쪽으로 움직인다", "a red ball moving to the left"),
        ("바다에서 커지는 노란 물고기", "a yellow fish growing on the sea"),
        ("주황색 집", "an orange house"),
        ("파란 boat", "a blue boat"),
        ("a red ball in the snow", "a red ball in the snow"),
        ("코끼리", "코끼리"),
        ("🐠", "fish"),
        ("a blue 🐟 in the sea 🐠", "a blue fish in the sea"),
        ("a red fish 🐠 ❄️", "a red fish in the snow"),
        ("파란 🐟", "a blue fish"),
        ("🐉", "🐉"),
    ],
)
def test_korean_words_become_the_caption_of_what_they_say(prompt, caption):
    assert NANO_WORDS.translate(prompt) == caption


@pytest.mark.parametrize(
    ("unwanted", "captions"),
    [
        ("눈", "in the snow"),
        ("빨간 공, 파란 별", "a red ball, a blue star"),
        ("눈, 밤", "in the snow, in the night sky"),
        ("rain", "rain"),
        ("비", "비"),
    ],
)
def test_korean_words_of_what_is_unwanted_are_all_translated(unwanted, captions):
    assert NANO_WORDS.translate_words(unwanted) == captions


def test_the_assistant_is_told_every_word_that_the_file_names():
    advice = NANO.capabilities.prompt_advice
    for names in NANO_WORDS.phrases.values():
        assert all(said[0] in advice for said in names.values())


def test_other_words_beside_the_weights_give_other_advice(tmp_path):
    kept = json.loads(resources.files("inference").joinpath(*WORDS).read_text("utf-8"))
    kept["things"]["dragon"] = ["dragon"]
    (tmp_path / "vocabulary.json").write_text(json.dumps(kept))
    other = Vocabulary.read(tmp_path / "vocabulary.json")
    assert "Things: ball, square" in other.advice()
    assert "dragon" in other.advice()
    assert "dragon" not in NANO_WORDS.advice()


@given(st.text())
def test_any_text_is_taken(text):
    assert NANO_WORDS.unknown(NANO_WORDS.translate(text)) is not None
    assert NANO_WORDS.translate_words(text) or not text


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 49]))
def test_random_prompts_have_known_words_only_and_show_the_thing(seed, frames):
    prompt = NANO_WORDS.draw(a_spec(seed=seed, frames=frames))
    assert NANO_WORDS.unknown(prompt) == ()
    (colour,) = (name for name in NANO_WORDS.phrases["colours"] if name in prompt.split()[:2])
    places = {name for name, said in NANO_WORDS.phrases["places"].items() if said[0] in prompt}
    assert not {(colour, place) for place in places} & {
        pair
        for pair in NANO_WORDS.hiding
        if prompt.endswith(NANO_WORDS.phrases["places"][pair[1]][0])
    }


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "words.json").write_text('{"draws": {}}')
    with pytest.raises(ValueError, match="no vocabulary"):
        Vocabulary.read(tmp_path / "words.json")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_tell_people_to_type_what_nano_can_draw(page):
    _check(page.read_text())


@pytest.mark.parametrize("language", ["en", "ko"])
def test_texts_tell_people_to_type_what_nano_can_draw(language):
    source = resources.files("commands") / "locales" / language / "LC_MESSAGES" / "rushes.po"
    with source.open("rb") as file:
        texts = [message.string for message in read_po(file) if isinstance(message.string, str)]
    _check("\n".join(texts))


def _check(page):
    lines = [found["line"] for each in (TYPED, QUOTED, POSTED) for found in each.finditer(page)]
    for line in lines:
        prompt = parse(line.rpartition(";")[0] or line, OPTIONS).prompt
        assert NANO_WORDS.unknown(prompt) == (), line
