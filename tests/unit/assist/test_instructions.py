from __future__ import annotations

import pytest

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
