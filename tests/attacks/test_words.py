"""Getting forbidden words past the lists by the way they are written, and harmless ones through."""

from __future__ import annotations

import json
import re
import unicodedata
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commands.parsing.flags import parse
from inference.domain.verdict import Reason
from inference.safety.lookalikes import lookalikes, make, write
from inference.safety.words import WordModerator
from tests.fakes.moderators import FakeGuildWords
from tests.fakes.options import OPTIONS

HARMLESS = (Path(__file__).parent / "harmless.txt").read_text("utf-8").splitlines()
MODERATOR = WordModerator(guilds=FakeGuildWords())


def attack(written, what):
    return pytest.param(written, marks=pytest.mark.attack("words", what), id=what)


def found(*texts):
    return MODERATOR._read(texts, ())


@pytest.mark.parametrize(
    "written",
    [
        attack("p\ufe0forn", "a variation selector inside a word"),
        attack("p\ufe01o\U000e0101rn", "several variation selectors"),
        attack("po\U000e0072rn", "a tag character inside a word"),
        attack("p\u20ddo\u20ddr\u20ddn\u20dd", "circles around letters"),
        attack("p\u0336o\u0336r\u0336n\u0336", "struck-through letters"),
        attack("p\u0301\u0302\u0303\u0304orn", "piled accents"),
        attack("ᴘᴏʀɴ", "small capitals"),
        attack("ｐｏｒｎ", "full-width letters"),
        attack("𝓹𝓸𝓻𝓷", "mathematical letters"),
        attack("ⓟⓞⓡⓝ", "circled letters"),
        attack("🅟🅞🅡🅝", "letters in black circles"),
        attack("🅿🅾🆁🅽", "letters in black squares"),
        attack("🇵🇴🇷🇳", "regional indicators"),
        attack("⒫⒪⒭⒩", "letters in brackets"),
        attack("рorn", "a Cyrillic letter that looks Latin"),
        attack("поrn", "a Cyrillic letter by its sound"),
        attack("гape", "a Cyrillic letter that looks like another one"),
        attack("гore", "a Cyrillic letter by its sound, another one"),
        attack("ροrn", "Greek letters"),
        attack("pоԉո porո", "Armenian letters"),
        attack("PОRN", "capitals of two alphabets"),
        attack("порно", "the word in Russian"),
        attack("po/rn", "a slash"),
        attack("po|rn", "a bar"),
        attack("p*o*r*n", "asterisks"),
        attack("p.o.r.n", "dots"),
        attack("p_o_r_n", "underscores"),
        attack("p…o…r…n", "ellipses"),
        attack("p❤o❤r❤n", "hearts"),
        attack("po rn", "a space"),
        attack("po\nrn", "a line break"),
        attack("po\u2003rn", "a wide space"),
        attack("po\u2800rn", "a blank braille pattern"),
        attack("p o r n", "spaces between letters"),
        attack("po r n", "some spaces between letters"),
        attack("p0rn", "a digit"),
        attack("pr0n", "slang with a digit"),
        attack("9ore", "a digit for g"),
        attack("poooorn", "a repeated letter"),
        attack("ppoorrnn", "every letter twice"),
        attack("p\u200bo\u200br\u200bn", "zero-width spaces"),
        attack("p\u2060orn", "a word joiner"),
        attack("p\u034forn", "a grapheme joiner"),
        attack("p\u3164orn", "a Hangul filler"),
        attack("po\u202ern\u202c", "an override"),
        attack("child po rn", "a split word in a phrase"),
        attack("having s e x", "a short word spelled in a phrase"),
        attack("h a v i n g s e x", "a phrase spelled out"),
        attack("be\u00adhead ing", "a soft hyphen and a space"),
        attack("porno graphy", "a long word in halves"),
        attack("ㅍㅗㄹㅡㄴㅗ", "Korean letters one by one"),
        attack("ㅍ ㅗ ㄹ ㅡ ㄴ ㅗ", "Korean letters with spaces"),
        attack("ㅇㅑㄷㅗㅇ", "Korean letters with a final consonant"),
        attack(unicodedata.normalize("NFD", "야동"), "Korean letters, decomposed"),
        attack("포 르 노", "Korean syllables with spaces"),
        attack("야 동", "two Korean syllables apart"),
        attack("야.동", "a dot between Korean syllables"),
        attack("포1르2노", "digits between Korean syllables"),
        attack("야♥동", "a heart between Korean syllables"),
        attack("naked woman", "people without clothes"),
        attack("the woman is completely naked", "people without clothes, the other way round"),
        attack("a nude young man", "people without clothes, with an adjective"),
        attack("a woman naked on the beach", "people without clothes, state last"),
        attack("two women without any clothes", "people without clothes, in other words"),
        attack("n@ked w0m4n", "people without clothes, with signs"),
        attack("na ked wo man", "people without clothes, split"),
        attack("nudе girl", "people without clothes, with a Cyrillic letter"),
        attack("벌거벗은 여자", "people without clothes, in Korean"),
        attack("pornvideo", "a word run together with another one"),
        attack("hardcoreporn", "a word run together, listed last"),
        attack("freepornmovies", "three words run together"),
        attack("nakedwoman", "people without clothes, run together"),
        attack("teensex", "two listed words run together"),
        attack("gorevideo", "a short word run together"),
        attack("한국포르노", "a Korean word run together"),
        attack("무료야동", "a short Korean word run together"),
        attack("p*rn", "an asterisk for a letter"),
        attack("p**n", "asterisks for letters"),
        attack("h*nt*i", "several asterisks for letters"),
        attack("p*rnography", "an asterisk for a letter of a longer word"),
        attack("p#rn", "another sign for a letter"),
        attack("p.rn", "a dot for a letter"),
        attack("p()rn", "two signs for a letter"),
        attack("p0®n", "a digit and a sign for letters"),
        attack("n*ked w*man", "people without clothes, with asterisks"),
        attack("por n", "the last letter apart"),
        attack("r ape", "the first letter apart"),
        attack("hen tai", "two short words for one"),
        attack("пoгn", "one letter by sound, one by looks"),
        attack("пopн", "a Latin letter for the Russian one it looks like"),
        attack("포르no", "half in Korean letters"),
        attack("ぽるの", "Japanese in the other syllabary"),
        attack("ポ ル ノ", "Japanese with spaces"),
        attack("ᑭOᖇᑎ", "syllabics that look Latin"),
        attack("&#112;&#111;&#x72;n", "codes of HTML"),
        attack("p&shy;orn", "a named code of HTML"),
        attack("po%72n", "codes of addresses"),
        attack("\\u0070orn", "codes of programs"),
    ],
)
def test_a_forbidden_word_is_found_however_it_is_written(written):
    assert found(f"a clip of {written} here")


@pytest.mark.parametrize(
    "written",
    [
        attack("a n u d e child", "minors, spelled out"),
        attack("a 12yo, topl ess", "minors by age, split"),
        attack("ch1ld p0rn", "minors, with digits"),
        attack("알.몸의 여고생", "minors, in Korean with a dot"),
    ],
)
def test_sexual_content_with_minors_is_found_however_it_is_written(written):
    assert Reason.MINORS in found(written)


@pytest.mark.parametrize("word", ["clown", "두더지", "pineapple pizza"])
@pytest.mark.parametrize(
    "trick",
    [
        attack(lambda word: f"{word[:2]} {word[2:]}", "a guild's word, split"),
        attack("\ufe0f".join, "a guild's word with selectors"),
        attack(lambda word: ".".join(word.replace(" ", "")), "a guild's word with dots"),
        attack(lambda word: " ".join(word.replace(" ", "")), "a guild's word, spelled out"),
    ],
)
def test_a_guilds_words_are_found_in_the_same_ways(word, trick):
    assert MODERATOR._read([f"a {trick(word)} here"], (word,)) == {Reason.GUILD_WORDS}


LOOKALIKES = {
    letter: [chr(code) for code, plain in lookalikes().items() if plain == letter]
    for letter in "abcdefghijklmnopqrstuvwxyz"
}
HIDDEN = ["\ufe0f", "\u200b", "\u20dd", "\U000e0061", "\u0301", "\u2066", "\u034f", "\xad"]
BETWEEN = [".", "-", "/", "*", "_", "|", "·", "~", "♥"]
LISTED = ["porn", "gore", "hentai", "blowjob", "rapist", "gangbang", "decapitated", "pornography"]


@st.composite
def disguised(draw):
    """A listed word, with one to three of the known tricks."""
    word = draw(st.sampled_from(LISTED))
    letters = list(word)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(letters) - 1))
        kind = draw(st.sampled_from(["lookalike", "hidden", "capital", "wide", "repeat"]))
        plain = letters[at][0]
        match kind:
            case "lookalike":
                letters[at] = draw(st.sampled_from(LOOKALIKES[word[at]]))
            case "hidden":
                letters[at] += draw(st.sampled_from(HIDDEN))
            case "capital":
                letters[at] = letters[at].upper() if plain.isascii() else letters[at]
            case "wide":
                letters[at] = chr(ord(word[at]) + 0xFEE0)
            case "repeat":
                letters[at] = letters[at] * 3 if len(letters[at]) == 1 else letters[at]
    joint = draw(st.sampled_from(["", "", *BETWEEN, "all spaces", "one"]))
    if joint == "all spaces":
        return " ".join(letters)
    if joint == "one":
        at = draw(st.integers(2, len(letters) - 1))
        sign = draw(st.sampled_from(BETWEEN))
        return "".join(letters[:at]) + sign + "".join(letters[at:])
    return joint.join(letters)


@given(disguised())
@pytest.mark.attack("words", "random mixes of all known tricks")
def test_mixes_of_tricks_are_found(written):
    assert found(f"here {written} there"), ascii(written)


@pytest.mark.parametrize(
    "line",
    [
        "a therapist and a child in a bright office",
        "a rapeseed field below Penistone church",
        "a rap-star sings for kids",
        "a rap e-book about e-sports",
        "Essex and Sussex coast, a cockpit, a grapevine",
        "the pen is red, the dog's exact copy",
        "go re-enact the battle",
        "a black-and-white rock'n'roll film, R&D;, 50%off",
        "이야동네 사람들, 분야동향 발표",
        "LG전자 TV, K-pop스타, iPhone과 노트",
    ],
)
def test_words_that_only_look_run_together_or_masked_stay_harmless(line):
    assert found(line) == frozenset()


@pytest.mark.parametrize("line", HARMLESS)
def test_a_harmless_prompt_stays_harmless(line):
    typed = parse(line, OPTIONS)
    assert found(typed.prompt) == frozenset()
    negative = str(typed.options.get("negative", ""))
    assert MODERATOR._read([negative], (), shipped=False) == frozenset()


def test_there_are_enough_harmless_prompts_in_both_languages_and_with_negatives():
    assert len(HARMLESS) == len(set(HARMLESS)) >= 300
    assert sum(bool(re.search("[가-힣]", line)) for line in HARMLESS) >= 100
    assert sum("--no" in line for line in HARMLESS) >= 10


COMMON = resources.files("inference.safety").joinpath("common_words.txt").read_text("utf-8").split()


@given(st.lists(st.sampled_from(COMMON), min_size=2, max_size=30))
@example(["be", "headed"])
def test_ordinary_words_in_any_order_make_no_listed_one(words):
    # What a few of these words mean together is another matter than what they are made of.
    assert not MODERATOR._splits.undo(next(iter(_readings(" ".join(words)))))


def _readings(text):
    from inference.safety.normalization import readings

    return readings(text)


def test_the_table_of_lookalikes_is_what_unicode_says():
    confusables = pytest.importorskip("confusable_homoglyphs")
    data = json.loads((Path(confusables.__file__).parent / "confusables.json").read_text("utf-8"))

    kept = resources.files("inference.safety").joinpath("lookalikes.txt").read_text("utf-8")

    assert write(make(data)) == kept
