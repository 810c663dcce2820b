from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from inference.assist.random_prompts import draw
from inference.assist.random_words import CAMERAS, CASTS
from inference.engines.built_in import NANO_WORDS
from tests.fakes.orders import a_spec, with_options

SEEDS = range(2000)


def test_a_seed_stands_for_one_prompt():
    for seed in SEEDS:
        assert draw(a_spec(seed=seed)) == draw(a_spec(seed=seed, frames=97))


def test_seeds_have_prompts_of_their_own():
    assert len({draw(a_spec(seed=seed)) for seed in SEEDS}) == len(SEEDS)


def test_every_cast_gets_its_turn():
    drawn = [draw(a_spec(seed=seed)).casefold() for seed in SEEDS]
    for cast in CASTS:
        assert any(line.startswith(cast.subjects) for line in drawn)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_a_prompt_is_a_few_short_sentences_of_one_scene(seed):
    prompt = draw(a_spec(seed=seed))
    assert len(re.findall(r"\.(?: |$)", prompt)) <= 6
    assert len(prompt.split()) < 80


def test_a_still_says_nothing_of_the_camera_nor_does_a_clip_that_has_a_camera():
    for seed in range(200):
        spec = a_spec(seed=seed)
        assert any(line in draw(spec) for line in CAMERAS)
        for silent in (replace(spec, frames=1), with_options(spec, camera="pan left")):
            assert not any(line in draw(silent) for line in CAMERAS)


def test_nano_gets_the_words_that_it_was_trained_on():
    drawn = {NANO_WORDS.draw(a_spec(seed=seed)) for seed in SEEDS}
    assert len(drawn) > 1000
    assert {line.split()[1] for line in drawn} == set(NANO_WORDS.phrases["colours"])
    assert {line.split()[2] for line in drawn} == set(NANO_WORDS.phrases["things"])
    assert len({line.split(" in ")[-1].split(" on ")[-1] for line in drawn}) >= len(
        NANO_WORDS.phrases["places"]
    )


def test_a_still_of_nano_moves_nowhere():
    for seed in range(200):
        assert " standing still " in NANO_WORDS.draw(a_spec(seed=seed, frames=1))


@pytest.mark.process
def test_drawing_takes_no_model():
    program = (
        "import sys; from inference.assist import random_prompts;"
        "print([m for m in ('torch', 'openai', 'PIL', 'py3langid') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
