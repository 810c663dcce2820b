"""Watermark: text or logo, drawn once per frame size and blended into each frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from inference.domain.errors import EngineError
from inference.domain.watermark import Corner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from inference.domain.spec import Size
    from inference.domain.watermark import WatermarkSettings

HEIGHT_SHARE = 0.10
"""Height of the mark with its halo, as a share of the video's height."""
WIDTH_SHARE = 0.40
"""Largest width of a mark, as a share of the video's width; longer text is drawn smaller."""
MARGIN_SHARE = 0.025
"""Distance to the edges, as a share of the video's height."""
_HALO_STRENGTH = 0.75
"""Opacity of the dark or bright halo, multiplied by that of the mark."""
_HANGUL = Path(__file__).parent / "fonts" / "NanumGothicCodingBold.ttf"
"""Font with all of Hangul; its licence is in the same folder."""
_SYSTEM_FONTS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/System/Library/Fonts"),
    Path("/Library/Fonts"),
)
_DRAWING_SCALE = 4
"""Supersampling factor of text, so that font hinting does not change its size."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stamp:
    """A watermark prepared for one frame size."""

    top: int
    left: int
    keep: npt.NDArray[np.uint16]
    """Weight of the picture, 0..256; shape [height, width, 1]."""
    add: npt.NDArray[np.uint16]
    """Addend of the mark: colour x opacity x 256, with rounding; shape [height, width, 3]."""

    @classmethod
    def draw(cls, settings: WatermarkSettings, size: Size) -> Self:
        """Draw the mark for frames of this size.

        Raises:
            EngineError: `watermark.failed`: the logo is unreadable or invisible, or no font has
                all characters of the text.
        """
        box = (round(size.width * WIDTH_SHARE), max(round(size.height * HEIGHT_SHARE), 8))
        rim = max(box[1] / 24, 0.75)
        inner = (max(box[0] - round(4 * rim), 1), max(box[1] - round(4 * rim), 1))
        if settings.logo is None:
            mark = _draw_text(" ".join(settings.text.split()), inner)
        else:
            mark = _read_logo(settings.logo, inner)
        colour, alpha = _with_halo(mark, rim)
        # On tiny frames the halo is larger than the picture.
        colour, alpha = colour[: size.height, : size.width], alpha[: size.height, : size.width]
        alpha = alpha * settings.opacity
        height, width, _ = alpha.shape
        margin = round(size.height * MARGIN_SHARE)
        # Even positions, because 2 x 2 pixels share their colour in yuv420p.
        top = left = margin & ~1
        if settings.corner in {Corner.BOTTOM_LEFT, Corner.BOTTOM_RIGHT}:
            top = (size.height - margin - height) & ~1
        if settings.corner in {Corner.TOP_RIGHT, Corner.BOTTOM_RIGHT}:
            left = (size.width - margin - width) & ~1
        return cls(
            top=max(min(top, size.height - height), 0),
            left=max(min(left, size.width - width), 0),
            keep=np.rint((1 - alpha) * 256).astype(np.uint16),
            add=np.floor(colour * alpha * 256 + 128).astype(np.uint16),
        )

    def apply(self, frames: npt.NDArray[np.uint8]) -> None:
        """Blend the mark into frames [frames, height, width, 3], in place.

        The frames must have the size for which the stamp was drawn.
        """
        height, width, _ = self.keep.shape
        region = frames[:, self.top : self.top + height, self.left : self.left + width]
        mixed = region * self.keep
        mixed += self.add
        mixed >>= 8
        region[...] = mixed


def _draw_text(text: str, box: tuple[int, int]) -> Image.Image:
    """Return text in white on transparent, RGBA, on one line that fits the box."""
    height = box[1] * _DRAWING_SCALE
    load = _font_for(text)
    ascent, descent = load(height).getmetrics()
    font = load(height * height / (ascent + descent))
    ascent, descent = font.getmetrics()
    left, _, right, _ = font.getbbox(text)
    drawn = Image.new("L", (round(right - left), ascent + descent))
    ImageDraw.Draw(drawn).text((-left, 0), text, font=font, fill=255)
    mark = Image.new("RGBA", drawn.size, (255, 255, 255, 0))
    mark.putalpha(drawn)
    return _contain(mark, box)


def _font_for(text: str) -> Callable[[float], ImageFont.FreeTypeFont]:
    """Return a loader, by size, of the first font that has all characters of the text.

    Pillow's font is tried first, then the bundled one for Hangul, then those of the system.

    Raises:
        EngineError: `watermark.failed`: no font has them all.
    """
    missing = ""
    files = (partial(ImageFont.truetype, path) for path in _font_files())
    loaders: Iterable[Callable[[float], ImageFont.FreeTypeFont]] = chain((_built_in,), files)
    for load in loaders:
        try:
            lacking = _missing_characters(load(20.0), text)
        except (OSError, ValueError):  # not a font, or damaged
            continue
        if not lacking:
            return load
        missing = missing or lacking
    raise EngineError("watermark.failed", reason="no glyph in any font", characters=missing)


def _built_in(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise EngineError("watermark.failed", reason="Pillow was built without FreeType")
    return font


def _font_files() -> Iterator[Path]:
    yield _HANGUL
    for folder in _SYSTEM_FONTS:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        yield from (path for path in files if path.suffix.lower() in {".ttf", ".otf", ".ttc"})


def _missing_characters(font: ImageFont.FreeTypeFont, text: str) -> str:
    """Return the characters without a glyph in the font."""
    nothing = bytes(font.getmask("\U0010ffff"))
    return "".join(sorted({c for c in text if c != " " and bytes(font.getmask(c)) == nothing}))


def _read_logo(path: Path, box: tuple[int, int]) -> Image.Image:
    try:
        with Image.open(path) as image:
            mark = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        reason = "missing logo" if isinstance(error, FileNotFoundError) else "unreadable logo"
        raise EngineError("watermark.failed", reason=reason, logo=str(path)) from error
    if np.asarray(mark)[..., 3].max() < 128:  # noqa: PLR2004 - half opaque
        raise EngineError("watermark.failed", reason="transparent logo", logo=str(path))
    return _contain(mark, box)


def _contain(mark: Image.Image, box: tuple[int, int]) -> Image.Image:
    """Scale to the height of the box, or less if that would be too wide."""
    scale = min(box[0] / mark.width, box[1] / mark.height)
    size = (max(round(mark.width * scale), 1), max(round(mark.height * scale), 1))
    return mark.resize(size, Image.Resampling.LANCZOS)


def _with_halo(
    mark: Image.Image, rim: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Add a blurred halo of the opposite brightness behind the mark.

    Returns:
        Colour 0..255 as [height, width, 3] and alpha 0..1 as [height, width, 1].
    """
    pad = round(2 * rim)
    padded = Image.new("RGBA", (mark.width + 2 * pad, mark.height + 2 * pad))
    padded.paste(mark, (pad, pad))
    rgba = np.asarray(padded, dtype=np.float64)
    shape = rgba[..., 3:] / 255
    brightness = float((rgba[..., :3] * shape).sum() / (3 * shape.sum()))
    halo_colour = 0.0 if brightness >= 128 else 255.0  # noqa: PLR2004 - the middle grey
    blurred = padded.getchannel("A").filter(ImageFilter.GaussianBlur(rim))
    # Doubling the blurred alpha makes the halo as dark at the mark's edge as an outline.
    halo = np.clip(np.asarray(blurred, dtype=np.float64)[..., np.newaxis] / 255 * 2, 0, 1)
    behind = halo * _HALO_STRENGTH * (1 - shape)
    alpha = shape + behind
    colour = (rgba[..., :3] * shape + halo_colour * behind) / np.maximum(alpha, 1e-9)
    return colour, alpha
