from hypothesis import given
from hypothesis import strategies as st

from inference.opensora.prompts import shorten_text, suffix


@given(st.text(max_size=60), st.integers(0, 70))
def test_shortening_keeps_a_beginning_within_the_limit(text, characters):
    short = shorten_text(text, characters)
    assert len(short) <= characters
    assert text.startswith(short)


@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1), st.integers(0, 40))
def test_shortening_keeps_whole_words_where_it_can(words, characters):
    short = shorten_text(" ".join(words), characters)
    if characters > len(words[0]):
        assert short.split() == words[: len(short.split())]


def test_a_phrase_that_the_prompt_has_is_not_repeated():
    prompt = "a road, motion strength is high, camera motion: static"
    assert suffix(prompt, aesthetic=7, motion=1, camera="pan left") == (
        " The aesthetic score is excellent."
    )
