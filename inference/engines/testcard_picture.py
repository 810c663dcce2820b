"""Drawing of the test card: bars, prompt, reference image, frame counter, dial."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from inference.domain.errors import EngineError
from inference.domain.untrusted_text import beginning, graphemes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from inference.domain.spec import Size

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""

_SMOOTHING = 4
"""Supersampling factor of shapes, because Pillow does not antialias."""

# Colour bars of SMPTE EG 1 at 75 %: main bars, reverse bars, and the row of levels.
_GREY, _YELLOW, _CYAN = (191, 191, 191), (191, 191, 0), (0, 191, 191)
_GREEN, _MAGENTA, _RED, _BLUE = (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191)
_BLACK = (19, 19, 19)
_ROWS: tuple[tuple[float, tuple[Colour, ...]], ...] = (
    (0.00, (_GREY, _YELLOW, _CYAN, _GREEN, _MAGENTA, _RED, _BLUE)),
    (0.70, (_BLUE, _BLACK, _MAGENTA, _BLACK, _CYAN, _BLACK, _GREY)),
    (0.78, ((0, 33, 76), (235, 235, 235), (50, 0, 106), _BLACK, (9, 9, 9), _BLACK, (29, 29, 29))),
)
_PANEL = (14, 16, 22)
_PANEL_OPACITY = 0.86
_TEXT = (245, 245, 245)
_FAINT = (168, 172, 182)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Boxes of the test card's elements."""

    panel: Box
    text: Box
    inset: Box
    """Box of the reference images."""
    dial: Box
    counter: Box

    @classmethod
    def of(cls, size: Size, *, with_image: bool) -> Self:
        """Return a row of image, text and dial; in portrait, the text is above the others."""
        unit = min(size.width, size.height)
        margin, pad, line = unit // 16, unit // 24, unit // 12
        panel = (margin, round(size.height * 0.22), size.width - margin, round(size.height * 0.66))
        left, top, right, bottom = panel[0] + pad, panel[1] + pad, panel[2] - pad, panel[3] - pad
        upright = size.height > size.width
        row = (top + bottom) // 2 if upright else top
        inset_side = min(bottom - row, (right - left) // 3)
        dial_side = min(bottom - row, unit // 4)
        dial_top = (row + bottom - dial_side) // 2
        text = (
            (left, top, right, row - pad)
            if upright
            else (
                left + (inset_side + pad if with_image else 0),
                top,
                right - dial_side - pad,
                bottom,
            )
        )
        return cls(
            panel=panel,
            text=text,
            inset=(left, row, left + inset_side, row + inset_side),
            dial=(right - dial_side, dial_top, right, dial_top + dial_side),
            counter=(margin, margin, margin + 6 * line, margin + line),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """Static background of a clip, and the state of its moving parts."""

    still: Image.Image
    accent: Colour
    dial: Box
    counter: Box
    phase: float
    """Start of the dial's hand, in turns."""
    frames: int
    rate: int
    """Frames per second."""

    @classmethod
    def draw(
        cls,
        prompt: str,
        *,
        size: Size,
        seed: int,
        frames: int,
        rate: int = 24,
        images: Sequence[Path] = (),
    ) -> Self:
        """Draw the static background.

        Raises:
            EngineError: `image.unreadable`.
        """
        hue, phase = np.random.default_rng(seed).random(2)
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55, 1.0))
        layout = _Layout.of(size, with_image=bool(images))
        unit = min(size.width, size.height)
        still = _bars(size)
        _fill(still, layout.panel, radius=unit // 28)
        _fill(still, layout.counter, radius=unit // 24)
        for index, image in enumerate(images):
            _paste_inset(still, image, _part(layout.inset, index, len(images)))
        _write(still, prompt, f"{size} · {frames} frames · seed {seed}", layout.text, unit)
        return cls(
            still=still,
            accent=(red, green, blue),
            dial=layout.dial,
            counter=layout.counter,
            phase=float(phase),
            frames=frames,
            rate=rate,
        )

    def frame(self, number: int) -> npt.NDArray[np.uint8]:
        """Return a frame, counted from 0: uint8 [height, width, 3], RGB."""
        picture = self.still.copy()
        seconds = number / self.rate
        self._draw_dial(picture, turns=self.phase + seconds)
        pen = ImageDraw.Draw(picture)
        left, top, right, bottom = self.counter
        text = f"{number + 1:03} / {self.frames:03}   {seconds:05.2f} s"
        font = _font((bottom - top) * 0.58)
        pen.text(((left + right) / 2, (top + bottom) / 2), text, _TEXT, font, anchor="mm")
        self._draw_playhead(pen, picture.size, share=(number + 1) / self.frames)
        return np.asarray(picture)

    def _draw_dial(self, picture: Image.Image, turns: float) -> None:
        """Draw a hand that turns once per second, and the sector behind it."""
        angle = 360 * (turns % 1) - 90
        side = self.dial[2] - self.dial[0]
        rim = side / 24

        def ring(pen: ImageDraw.ImageDraw, scale: int) -> None:
            edge = side * scale - 1
            pen.ellipse((0, 0, edge, edge), outline=255, width=round(rim * scale))

        def sweep(pen: ImageDraw.ImageDraw, scale: int) -> None:
            near, far = 2.5 * rim * scale, (side - 2.5 * rim) * scale
            pen.pieslice((near, near, far, far), -90, angle, fill=255)

        picture.paste(self.accent, self.dial, _smooth(side, side, sweep))
        picture.paste(_TEXT, self.dial, _smooth(side, side, ring))

    def _draw_playhead(
        self, pen: ImageDraw.ImageDraw, size: tuple[int, int], *, share: float
    ) -> None:
        """Draw a progress line along the bottom."""
        width, height = size
        pen.rectangle((0, height - max(height // 90, 3), round(width * share), height), self.accent)


def _bars(size: Size) -> Image.Image:
    picture = Image.new("RGB", (size.width, size.height))
    pen = ImageDraw.Draw(picture)
    for top, colours in _ROWS:
        for index, colour in enumerate(colours):
            left = size.width * index // len(colours)
            pen.rectangle((left, round(size.height * top), size.width, size.height), colour)
    return picture


def _fill(picture: Image.Image, box: Box, *, radius: int) -> None:
    """Darken a rounded box."""
    width, height = box[2] - box[0], box[3] - box[1]

    def draw_corners(pen: ImageDraw.ImageDraw, scale: int) -> None:
        corner = (width * scale - 1, height * scale - 1)
        pen.rounded_rectangle((0, 0, *corner), radius * scale, fill=round(255 * _PANEL_OPACITY))

    picture.paste(_PANEL, box, _smooth(width, height, draw_corners))


def _smooth(
    width: int, height: int, draw: Callable[[ImageDraw.ImageDraw, int], None]
) -> Image.Image:
    """Return an antialiased mask; `draw` is called with a pen and its scale."""
    mask = Image.new("L", (width * _SMOOTHING, height * _SMOOTHING))
    draw(ImageDraw.Draw(mask), _SMOOTHING)
    return mask.reduce(_SMOOTHING)


def _part(box: Box, index: int, count: int) -> Box:
    """Return one of `count` equal horizontal strips of a box."""
    left, top, right, bottom = box
    height = (bottom - top) // count
    return (left, top + index * height, right, top + (index + 1) * height)


def _paste_inset(picture: Image.Image, image: Path, box: Box) -> None:
    try:
        with Image.open(image) as reference:
            inset = ImageOps.fit(reference.convert("RGB"), (box[2] - box[0], box[3] - box[1]))
    except (OSError, ValueError) as error:
        raise EngineError("image.unreadable", path=str(image)) from error
    picture.paste(inset, box)


def _write(picture: Image.Image, prompt: str, caption: str, box: Box, unit: int) -> None:
    """Write the prompt as large as fits, and the caption below it."""
    left, top, right, bottom = box
    pen = ImageDraw.Draw(picture)
    small = _font(max(unit / 28, 9))
    caption_lines = _wrap(caption, small, right - left)
    line = sum(small.getmetrics()) * 1.15
    caption_top = bottom - line * len(caption_lines)
    for index, text in enumerate(caption_lines):
        pen.text((left, caption_top + index * line), text, _FAINT, small)

    room = caption_top - top - line / 3
    text = _printable(prompt)
    for share in (1, 0.85, 0.7, 0.6, 0.5, 0.42):
        font = _font(max(unit / 13 * share, 9))
        lines = _wrap(text, font, right - left)
        line = sum(font.getmetrics()) * 1.12
        fitting = max(int(room / line), 1)
        if len(lines) <= fitting:
            break
    else:
        last = lines[fitting - 1]
        lines = [*lines[: fitting - 1], f"{beginning(last, len(last) - 1)}…"]
    for index, text in enumerate(lines):
        pen.text((left, top + index * line), text, _TEXT, font)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Wrap text at spaces, and inside words that are wider than a line."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for grapheme in graphemes(word):
            if lines[-1] and font.getlength(lines[-1] + grapheme) > width:
                lines.append("")
            lines[-1] += grapheme
    return lines


def _printable(text: str) -> str:
    """Replace characters without a glyph: lone surrogates and control characters."""
    whole = text.encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else " " for character in whole)


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise EngineError("testcard.no_font", reason="Pillow was built without FreeType")
    return font
