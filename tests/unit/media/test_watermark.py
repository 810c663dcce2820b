import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.domain.errors import EngineError
from inference.domain.spec import Size
from inference.domain.watermark import Corner, WatermarkSettings
from inference.engines.geometry import SIZES
from inference.media import watermark
from inference.media.watermark import Stamp
from tests.unit.media.media_samples import plain

FONT = watermark._HANGUL

WIDE = Size(640, 360)


def changed_area(stamp, size, level):
    """Rows and columns that the stamp touches on a plain picture."""
    before = plain(1, size, level)
    after = before.copy()
    stamp.apply(after)
    rows, columns = np.nonzero((after != before).any(axis=-1)[0])
    return rows, columns


def brightness_range(settings, level):
    frames = plain(1, WIDE, level)
    Stamp.draw(settings, WIDE).apply(frames)
    return int(frames.min()), int(frames.max())


@pytest.mark.cases(4)
@pytest.mark.parametrize("size", SIZES.values(), ids=str)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_mark_sits_inside_its_corner_on_every_size_and_background(size, level):
    rows, columns = changed_area(Stamp.draw(WatermarkSettings(), size), size, level)

    assert rows.min() >= size.height * 0.86
    assert columns.min() >= size.width * 0.55
    assert rows.max() < size.height - 1
    assert columns.max() < size.width - 1


@pytest.mark.parametrize(
    ("corner", "top", "left"),
    [
        (Corner.TOP_LEFT, True, True),
        (Corner.TOP_RIGHT, True, False),
        (Corner.BOTTOM_LEFT, False, True),
        (Corner.BOTTOM_RIGHT, False, False),
    ],
)
def test_each_corner_is_where_its_name_says(corner, top, left):
    rows, columns = changed_area(Stamp.draw(WatermarkSettings(corner=corner), WIDE), WIDE, 0)

    assert (rows.max() < 60) == top
    assert (rows.min() > 300) == (not top)
    assert (columns.max() < 120) == left
    assert (columns.min() > 520) == (not left)


def test_the_word_is_bright_on_black_and_rimmed_on_white():
    assert brightness_range(WatermarkSettings(), 0)[1] > 160
    assert brightness_range(WatermarkSettings(), 255)[0] < 150


def test_opacity_is_how_much_of_the_picture_is_covered():
    faint = brightness_range(WatermarkSettings(opacity=0.3), 0)[1]
    full = brightness_range(WatermarkSettings(opacity=1.0), 0)[1]

    assert faint == pytest.approx(0.3 * 255, abs=4)
    assert full == pytest.approx(255, abs=3)


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", SIZES.values(), ids=str)
def test_the_longest_word_shrinks_to_two_fifths_of_the_width(size):
    rows, columns = changed_area(Stamp.draw(WatermarkSettings(text="M" * 40), size), size, 0)

    assert np.ptp(columns) + 1 <= size.width * 0.4
    assert np.ptp(rows) + 1 >= 4


@pytest.mark.parametrize("height", [360, 720])
def test_the_mark_is_a_tenth_of_the_height(height):
    stamp = Stamp.draw(WatermarkSettings(), Size(height * 16 // 9, height))
    assert stamp.keep.shape[0] == pytest.approx(height / 10, abs=1)


def test_words_with_and_without_tails_have_letters_of_one_size():
    heights = {Stamp.draw(WatermarkSettings(text=text), WIDE).keep.shape[0] for text in ("a", "Ag")}
    assert len(heights) == 1


@pytest.mark.parametrize("text", ["\U00013000", "Rushes 🎬"])
def test_a_character_the_fonts_lack_fails_instead_of_showing_boxes(monkeypatch, text):
    monkeypatch.setattr(watermark, "_SYSTEM_FONTS", ())
    with pytest.raises(EngineError) as caught:
        Stamp.draw(WatermarkSettings(text=text), WIDE)
    assert caught.value.code == "watermark.failed"


def test_a_logo_keeps_its_shape_and_its_colour(tmp_path):
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (200, 100), (250, 20, 20, 255)).save(logo)
    stamp = Stamp.draw(WatermarkSettings(logo=logo, opacity=1.0), WIDE)
    frames = plain(1, WIDE, 128)
    stamp.apply(frames)

    red = np.abs(frames[0].astype(int) - (250, 20, 20)).max(axis=-1) < 8
    rows, columns = np.nonzero(red)
    assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(2, abs=0.15)


def test_a_black_logo_gets_a_bright_rim(tmp_path):
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (100, 100), (0, 0, 0, 255)).save(logo)
    frames = plain(1, WIDE, 0)
    Stamp.draw(WatermarkSettings(logo=logo), WIDE).apply(frames)
    assert frames.max() > 100


def test_an_unusable_logo_fails(tmp_path):
    text, clear = tmp_path / "logo.txt", tmp_path / "clear.png"
    text.write_text("not an image")
    Image.new("RGBA", (50, 50)).save(clear)

    for logo in (text, clear, tmp_path / "missing.png"):
        with pytest.raises(EngineError) as caught:
            Stamp.draw(WatermarkSettings(logo=logo), WIDE)
        assert caught.value.code == "watermark.failed"
        assert not caught.value.transient


@given(width=st.integers(8, 400), height=st.integers(8, 400), corner=st.sampled_from(Corner))
def test_any_size_takes_a_mark(width, height, corner):
    size = Size(width * 2, height * 2)
    frames = plain(2, size, 0)
    Stamp.draw(WatermarkSettings(corner=corner), size).apply(frames)
    assert frames.any()
    assert (frames[0] == frames[1]).all()


def test_blending_is_exact_to_one_level():
    stamp = Stamp.draw(WatermarkSettings(), WIDE)
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (2, 360, 640, 3)).astype(np.uint8)
    height, width, _ = stamp.keep.shape
    place = np.s_[:, stamp.top : stamp.top + height, stamp.left : stamp.left + width]
    expected = frames[place] * (stamp.keep / 256) + (stamp.add - 128.0) / 256
    stamp.apply(frames)
    assert np.abs(frames[place] - expected).max() <= 0.51


@pytest.mark.parametrize("text", ["우리 스튜디오", "Rushes 러시스", "뷁쀍 ㄱㄴ"])
def test_hangul_is_drawn_without_fonts_of_the_system(monkeypatch, text):
    monkeypatch.setattr(watermark, "_SYSTEM_FONTS", ())
    stamp = Stamp.draw(WatermarkSettings(text=text), Size(640, 360))
    empty = Stamp.draw(WatermarkSettings(text="."), Size(640, 360))
    assert stamp.add.size > 4 * empty.add.size


def test_a_script_that_no_font_has_is_named(monkeypatch):
    monkeypatch.setattr(watermark, "_SYSTEM_FONTS", ())
    with pytest.raises(EngineError) as caught:
        Stamp.draw(WatermarkSettings(text="漢字 ok"), Size(640, 360))
    assert caught.value.params["characters"] == "字漢"


def test_a_font_of_the_system_helps_with_other_scripts(monkeypatch, tmp_path):
    monkeypatch.setattr(watermark, "_HANGUL", tmp_path / "none.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    shutil.copy(FONT, tmp_path / "later.ttf")
    monkeypatch.setattr(watermark, "_SYSTEM_FONTS", (tmp_path,))
    Stamp.draw(WatermarkSettings(text="한글"), Size(640, 360))
