"""The words that training writes beside its weights are those of the captions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training.vocabulary import write
from benchmarks.training.world.captions import brief, describe, draw_scene, plain
from benchmarks.training.world.words import ODD_ADJECTIVES, ODD_ENDINGS
from inference.domain.vocabulary import Vocabulary
from tests.fakes.orders import a_spec

ODD = set(" ".join((*ODD_ADJECTIVES, *ODD_ENDINGS)).split())


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write(folder)
    return Vocabulary.read(folder / "vocabulary.json")


@given(seed=st.integers(0, 2**32 - 1), image=st.booleans())
def test_it_knows_every_word_of_the_captions_but_the_odd_ones(known, seed, image):
    scene = draw_scene(np.random.default_rng(seed))
    assert known.unknown(plain(scene).prompt) == ()
    for say in (describe, brief):
        caption = say(scene, np.random.default_rng(seed), image=image)
        assert set(known.unknown(caption.prompt)) <= ODD


def test_it_does_not_claim_to_know_the_odd_words(known):
    for adjective in ODD_ADJECTIVES:
        assert known.unknown(adjective) == (adjective,)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red fox running through snow",
        "a cat",
        "a blue car on a white background",
        "two black kittens jumping in front of a yellow wall",
        "a rocket taking off at night",
    ],
)
def test_it_knows_what_people_type_first(known, prompt):
    assert known.unknown(prompt) == ()


def test_korean_of_the_new_things_becomes_their_caption(known):
    assert (
        known.translate("빨간 여우가 눈 속을 달린다") == "a red fox moving to the right in the snow"
    )


@given(seed=st.integers(0, 2**32 - 1))
def test_no_thing_is_asked_for_on_a_background_of_its_own_colour(known, seed):
    prompt = known.draw(a_spec(seed=seed))
    colour = prompt.split()[1]
    assert f"{colour} background" not in prompt


def test_names_that_weights_do_not_draw_are_left_out(tmp_path):
    write(tmp_path, without=["rocket", "plain brown"])
    fewer = Vocabulary.read(tmp_path / "vocabulary.json")
    assert fewer.unknown("a rocket and a fox") == ("rocket",)
    assert "plain brown" not in fewer.phrases["places"]
    assert ("brown", "plain brown") not in fewer.hiding


@pytest.mark.model
def test_the_shipped_tokenizer_has_tokens_for_every_word_of_the_world(known):
    tokenizers = pytest.importorskip("tokenizers")
    folder = Path(__file__).parents[2] / "inference/weights/nano/text_encoder"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for word in known.known:
        assert "<unk>" not in tokenizer.encode(word).tokens
        assert len(tokenizer.encode(word).tokens) <= 8, word
