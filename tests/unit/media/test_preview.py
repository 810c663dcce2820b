from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.media.stills import PREVIEW_BYTES, PREVIEW_SIDE, write_preview


@pytest.mark.parametrize("shape", [(64, 112, 3), (112, 64, 3), (720, 1280, 3), (8, 4, 3)])
def test_a_preview_is_a_small_picture_in_the_same_shape(tmp_path, shape):
    write_preview(tmp_path / "preview.jpg", np.zeros(shape, np.uint8))

    with Image.open(tmp_path / "preview.jpg") as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) == PREVIEW_SIDE
        assert picture.width / picture.height == pytest.approx(shape[1] / shape[0], rel=0.02)


def test_even_noise_stays_small(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (320, 320, 3), np.uint8)

    write_preview(tmp_path / "preview.jpg", noise)

    assert (tmp_path / "preview.jpg").stat().st_size <= PREVIEW_BYTES
