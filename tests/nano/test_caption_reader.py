"""Captions can be read by who has which colour, and a text encoder can be taught to tell it."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from benchmarks.training.caption_reader import (  # noqa: E402
    CaptionReader,
    answers,
    embedded,
    main,
    share_right,
    teach,
)
from benchmarks.training.prompts import held_out  # noqa: E402
from benchmarks.training.reporting import say  # noqa: E402
from benchmarks.training.world.backgrounds import PLAIN  # noqa: E402
from benchmarks.training.world.captions import describe, draw_scene, plain  # noqa: E402
from inference.opensora.checkpoint import load_text_encoder  # noqa: E402

pytestmark = pytest.mark.model

WEIGHTS = Path(__file__).parents[2] / "inference/weights/nano"


def test_the_shipped_text_encoder_tells_whose_a_colour_is():
    """Also for pairs of thing and colour that it has never met, by a reader of its embeddings."""
    random = np.random.default_rng(0)
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    met = [scene for scene in (draw_scene(random) for _ in range(1600)) if scene.place in PLAIN]
    new = [one.scene for one in held_out(104) if one.scene.place in PLAIN]
    with torch.no_grad():
        words, present = embedded(encoder, [describe(scene, random, image=True) for scene in met])
        asked = embedded(encoder, [plain(scene) for scene in new])
    torch.manual_seed(0)
    reader = CaptionReader(words.shape[2])
    optimiser = torch.optim.Adam(reader.parameters(), 1e-2)
    told = ("colour", "place")
    wanted = answers(met)
    for _ in range(100):
        found = reader(words.float(), present)
        optimiser.zero_grad()
        sum(functional.cross_entropy(found[name], wanted[name]) for name in told).backward()
        optimiser.step()
    with torch.no_grad():
        found = reader(asked[0].float(), asked[1])
    shares = [share_right(found[name], answers(new)[name]) for name in told]
    assert min(shares) > 0.9, shares


def test_lessons_are_written_as_weights_that_load(tmp_path, monkeypatch):
    encoder = load_text_encoder(WEIGHTS / "text_encoder")
    shares = teach(encoder, steps=1, captions=4, report=say)
    assert shares.keys() == {"thing", "colour", "place", "move", "camera"}
    new = tmp_path / "new"
    monkeypatch.setattr("sys.argv", ["caption_reader", str(WEIGHTS), str(new), "--steps", "1"])
    main()
    one, other = (
        load_text_encoder(folder / "text_encoder").encode("a red fox").tokens
        for folder in (WEIGHTS, new)
    )
    assert one.shape == other.shape
    assert not torch.equal(one, other)
