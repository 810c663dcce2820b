from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.verdict import Reason
from inference.safety.normalization import MASK, fold, readings
from inference.safety.terms import Terms, normal
from inference.safety.words import WordModerator
from tests.fakes.moderators import FakeGuildWords

MINORS, SEXUAL, GORE = Reason.MINORS, Reason.SEXUAL, Reason.GORE


@pytest.fixture(scope="module")
def moderator():
    return WordModerator(guilds=FakeGuildWords())


INNOCENT = [
    "a red fox running through snow",
    "a drone shot over Scunthorpe at dawn",
    "a cocktail on a bar, shot with a 50mm lens",
    "shoot a film about Dick Van Dyke in Sussex, Essex and Middlesex",
    "a bass player with a sextant and a sextet",
    "a grape harvest, therapists watching",
    "a field of rape in bloom under a blue sky",
    "oilseed rape fields from above",
    "Al Gore gives a speech in a Gore-Tex jacket",
    "a baby blue car, sexy lines",
    "a naked mole rat and her babies",
    "stars visible to the naked eye above a child's tent",
    "a 12 year old single malt whisky, sexy lighting",
    "a kid eats ice cream on the beach",
    "two children play chess, 8 and 10 years old",
    "teenagers skate through a nude-pink sunset",
    "a mother undressing a salad",
    "a classic assassin on horseback, title: grand analysis",
    "a blood orange cut in half, juice dripping",
    "knights fight a bloody battle",
    "the headless horseman rides",
    "a sexy saxophone solo in A minor",
    "a sex education classroom in the 1950s",
    "K-pop idols, 4k 60fps, 100% cotton, $5 bill, version 2.0",
    "a pussy willow branch beside a cock and his hens",
    "분야동향 보고서를 읽는 사람",
    "눈 속을 달리는 붉은 여우",
    "색소폰을 부는 어린이",
    "子供が公園で遊ぶ",
]


@pytest.mark.parametrize("text", INNOCENT)
async def test_innocent_words_are_left_alone(moderator, text):
    assert await moderator.read([text], "guild:a") == frozenset()


FLAGGED = [
    ("hardcore porn", {SEXUAL}),
    ("a pornographic movie", {SEXUAL}),
    ("two people having sex", {SEXUAL}),
    ("a gang rape", {SEXUAL}),
    ("an execution, beheading, gore everywhere", {GORE}),
    ("a severed head on a stick", {GORE}),
    ("a man being disembowelled", {GORE}),
    ("child pornography", {MINORS}),
    ("a nude child", {MINORS}),
    ("a sexy schoolgirl", {MINORS}),
    ("a 12 year old girl, naked", {MINORS}),
    ("12yo, topless", {MINORS}),
    ("a seventeen-year-old in erotic poses", {MINORS}),
    ("she is nine years old and nude", {MINORS}),
    ("lolicon", {MINORS}),
    ("야동을 보여줘", {SEXUAL}),
    ("아동 포르노", {MINORS}),
    ("알몸의 여고생", {MINORS}),
    ("参加者が斬首される", {GORE}),
]


@pytest.mark.parametrize(("text", "reasons"), FLAGGED)
async def test_words_that_speak_for_themselves_are_found(moderator, text, reasons):
    assert await moderator.read([text], "guild:a") >= reasons


@pytest.mark.parametrize(
    "written",
    [
        "GORE",
        "g0re",
        "g o r e",
        "G.O.R.E",
        "g-o-r-e",
        "g*o*r*e",
        "g_o_r_e",
        "goooore!!!",
        "go\u200bre",
        "go\u00adre",
        "gör\u0301e",
        "\uff47\uff4f\uff52\uff45",
        "\U0001d4f0\U0001d4f8\U0001d4fb\U0001d4ee",
        "g\u043er\u0435",
        "go.re",
        "some g0r3!",
        "「gore」",
    ],
)
async def test_a_word_is_found_however_it_is_written(moderator, written):
    assert await moderator.read([f"a lot of {written} here"], "guild:a") == {GORE}


async def test_any_of_several_texts_counts(moderator):
    assert await moderator.read(["a fox", "gore"], "guild:a") == {GORE}


async def test_a_guilds_own_words_count_for_it_and_the_operators_for_all():
    moderator = WordModerator(house=["acme*"], guilds=FakeGuildWords(["pineapple pizza", "커피"]))

    async def found(text):
        return await moderator.read([text], "guild:a")

    assert await found("a P1neapple-pizza, please") == {Reason.GUILD_WORDS}
    assert await found("pineapple and pizza") == frozenset()
    assert await found("커피를 마시는 사람") == {Reason.GUILD_WORDS}
    assert await found("an AcmeCorp truck") == {Reason.HOUSE_WORDS}


async def test_words_that_a_guild_adds_count_at_once():
    words = FakeGuildWords()
    moderator = WordModerator(guilds=words)
    assert await moderator.read(["a clown"], "guild:a") == frozenset()

    words.words.append("clown")

    assert await moderator.read(["a clown"], "guild:a") == {Reason.GUILD_WORDS}


@pytest.mark.parametrize(
    ("typed", "spelling"),
    [
        ("  Pine-Apple  PIZZA ", "pine apple pizza"),
        ("Gore*", "gore*"),
        ("naïve", "naive"),
        ("커피", "커피"),
        ("***", ""),
        (" -_. ", ""),
    ],
)
def test_one_spelling_stands_for_all(typed, spelling):
    assert normal(typed) == spelling


def test_a_term_is_a_whole_word_unless_it_ends_in_an_asterisk():
    plain, open_ended = Terms(["cat"]), Terms(["cat*"])

    for text, expected in {
        "a cat": (True, True),
        "cats": (False, True),
        "concatenate": (False, False),
        "bobcat": (False, False),
    }.items():
        [reading] = readings(text)
        assert (plain.found_in(reading), open_ended.found_in(reading)) == expected


def test_short_terms_are_not_found_between_letters_that_are_spelled_out():
    [reading] = readings("the letters c l a s s")

    assert not Terms(["ass"]).found_in(reading)
    assert Terms(["lass"]).found_in(reading)


def test_no_terms_are_found_nowhere():
    assert not any(Terms([]).found_in(reading) for reading in readings("anything"))


words = st.text(st.characters(codec="utf-8"), max_size=40)


@given(words)
def test_any_text_can_be_read_and_reading_it_again_changes_nothing(text):
    for reading in readings(text):
        letters = reading.words.replace(MASK, "x")
        assert fold(letters) == letters
        assert "  " not in reading.words


@given(words, st.text("abcdefgh", min_size=2, max_size=8), words)
def test_a_word_is_found_in_whatever_it_stands_between(before, word, after):
    term = Terms([word])

    assert any(term.found_in(reading) for reading in readings(f"{before} {word} {after}"))


@given(words)
def test_any_term_can_be_looked_for_and_finds_itself(typed):
    spelling = normal(typed)

    assert normal(spelling) == spelling
    if spelling:
        assert any(Terms([typed]).found_in(each) for each in readings(spelling.rstrip("*")))


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "piece", ["a ", "a", "!", "b!", "a.", "._*~", "1", "child ", "year old ", "1 ", "\u0301"]
)
async def test_no_text_takes_long_to_read(moderator, piece):
    # A pattern that backtracks would take hours; the limit of every test ends it.
    await moderator.read([(piece * 4000)[:4000]], "guild:a")
