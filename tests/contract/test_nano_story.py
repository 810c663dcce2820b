"""The shipped model in one short story: what `make fast` sees of torch."""

import numpy as np
import pytest
from PIL import Image

from inference.domain.reference import Prepared
from inference.engines.base import CancelToken, Inputs, Monitor
from inference.engines.registry import Models
from tests.fakes.orders import a_spec

SPEC = a_spec(
    model="nano",
    frames=17,
    seed=42,
    steps=2,
    cfg=4.0,
    camera="pan left",
    image=Prepared("image.png"),
)


@pytest.mark.tour
@pytest.mark.model
def test_a_clip_begins_with_its_picture_is_previewed_and_kept(tmp_path):
    pytest.importorskip("torch")
    engine = Models({"nano": {}}).create("nano")
    engine.load(lambda _done, _name: None)
    picture = tmp_path / "image.png"
    Image.new("RGB", (640, 360), (40, 80, 230)).save(picture)
    previews, kept = [], []

    def on_step(_done, _total, still):
        if still is not None:
            previews.append(still())

    monitor = Monitor(on_step=on_step, cancel=CancelToken(), keep=kept.append)
    chunks = engine.render(SPEC, Inputs(image=picture), monitor)
    frames = np.concatenate([chunk.frames for chunk in chunks])

    assert frames.shape == (17, 360, 640, 3)
    assert np.abs(frames[0].mean((0, 1)) - (40, 80, 230)).max() < 40, "it begins with the picture"
    assert previews
    assert len(kept) == 1, "it can be extended"
