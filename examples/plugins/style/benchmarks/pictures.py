"""Eight style pictures, drawn by code: sunset, paint, neon, leaves, paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_HEIGHT, _WIDTH = 360, 480


def gradient(*stops: tuple[float, Colour]) -> Pixels:
    """Return colours from top to bottom."""
    places = np.linspace(0, 1, _HEIGHT)
    known, colours = zip(*stops, strict=True)
    columns = [np.interp(places, known, channel) for channel in zip(*colours, strict=True)]
    return np.repeat(np.stack(columns, -1)[:, None], _WIDTH, 1).astype(np.uint8)


def spots(
    back: Pixels, colours: Sequence[Colour], count: int, *, seed: int, largest: int, blur: float
) -> Pixels:
    """Return a picture with ovals on it."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(back)
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = int(random.integers(_WIDTH)), int(random.integers(_HEIGHT))
        a, b = (int(radius) for radius in random.integers(5, largest, 2))
        chosen = np.array(colours[random.integers(len(colours))]) + random.integers(-12, 13, 3)
        red, green, blue = (int(value) for value in np.clip(chosen, 0, 255))
        draw.ellipse((x - a, y - b, x + a, y + b), fill=(red, green, blue))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)))


def style_pictures() -> Mapping[str, Pixels]:
    """Return the pictures by name."""
    grain = np.random.default_rng(4).normal(0, 8, (_HEIGHT, _WIDTH, 1))
    sepia = gradient((0, (242, 198, 145)), (1, (60, 49, 36))) + grain
    return {
        "sunset": spots(
            gradient(
                (0, (40, 30, 90)),
                (0.45, (200, 80, 90)),
                (0.7, (255, 150, 60)),
                (1, (255, 220, 140)),
            ),
            [(255, 230, 160)],
            1,
            seed=1,
            largest=50,
            blur=3,
        ),
        "paint": spots(
            gradient((0, (235, 215, 180)), (1, (220, 190, 140))),
            [
                (200, 60, 40),
                (30, 80, 140),
                (240, 190, 60),
                (60, 110, 70),
                (240, 235, 220),
                (40, 35, 50),
            ],
            160,
            seed=2,
            largest=50,
            blur=1,
        ),
        "neon": spots(
            gradient((0, (10, 8, 30)), (1, (25, 10, 50))),
            [(255, 30, 160), (30, 220, 255), (120, 40, 255), (20, 15, 50)],
            40,
            seed=3,
            largest=40,
            blur=5,
        ),
        "sepia": np.clip(sepia, 0, 255).astype(np.uint8),
        "forest": spots(
            gradient((0, (170, 200, 160)), (0.3, (70, 120, 60)), (1, (25, 50, 25))),
            [(40, 90, 40), (90, 140, 60), (20, 45, 20), (110, 90, 50)],
            120,
            seed=5,
            largest=40,
            blur=2,
        ),
        "pastel": spots(
            gradient((0, (250, 220, 230)), (1, (210, 230, 250))),
            [(250, 200, 210), (200, 230, 220), (255, 240, 200), (215, 205, 245)],
            60,
            seed=6,
            largest=70,
            blur=4,
        ),
        "poster": spots(
            gradient((0, (250, 250, 245)), (1, (240, 240, 235))),
            [(10, 10, 10), (220, 30, 30), (10, 10, 10)],
            40,
            seed=7,
            largest=60,
            blur=0,
        ),
        "grey": spots(
            gradient((0, (200, 200, 200)), (1, (70, 70, 70))),
            [(120, 120, 120), (160, 160, 160), (50, 50, 50)],
            40,
            seed=8,
            largest=60,
            blur=2,
        ),
    }
