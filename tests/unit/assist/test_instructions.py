from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.assist.instructions import MAXIMUM_CHARACTERS, MAXIMUM_SENTENCES, tidy


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("A fox runs.", "A fox runs."),
        ("  A fox\n\nruns.\t", "A fox runs."),
        ('"A fox runs."', "A fox runs."),
        ("“A fox runs.”", "A fox runs."),
        ('A sign says "stop."', 'A sign says "stop."'),
        ("여우가 달린다.", "여우가 달린다."),
        ("", ""),
        (" … 42 !", ""),
        ('"', ""),
        ("x" * (MAXIMUM_CHARACTERS + 1), ""),
    ],
)
def test_an_answer_becomes_one_clean_line(answer, line):
    assert tidy(answer) == line


def test_no_more_sentences_are_kept_than_allowed():
    sentences = [f"Sentence number {number} of 3.5 metres." for number in range(9)]
    assert tidy(" ".join(sentences)) == " ".join(sentences[:MAXIMUM_SENTENCES])


@given(st.text(max_size=2 * MAXIMUM_CHARACTERS))
def test_whatever_is_answered_a_prompt_is_one_line_of_a_bearable_length(answer):
    line = tidy(answer)
    assert len(line) <= MAXIMUM_CHARACTERS
    assert line == " ".join(line.split())
    assert tidy(line) == line or line[0] in "\"'“”„«»`"
