"""The drawn world that nano learns from: one thing, moving in a place before a camera.

A `Scene` says what a caption can say, plus a seed for what it leaves open; `render` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from inference.nano.backgrounds import COLOURS, PLACES, PLAIN, Array, mix
from inference.nano.shapes import OUTLINES
from inference.nano.silhouettes import FACING, SILHOUETTES, Tone
from inference.opensora.controls import Aesthetic, Camera, Motion
from inference.opensora.geometry import NANO_SIZES, PixelSize

HIDING = frozenset(
    {
        ("white", "snow"),
        ("white", "sky"),
        ("white", "sea"),
        ("white", "checkerboard"),
        ("black", "night"),
        ("black", "city"),
        ("green", "meadow"),
        ("orange", "sunset"),
        ("orange", "desert"),
        ("brown", "desert"),
        ("blue", "sky"),
        ("blue", "sea"),
        *((colour, name) for name, colour in PLAIN.items()),
    }
)
"""Colours that cannot be told from a place; such scenes are neither trained nor measured."""

_TRAVEL = MappingProxyType(
    {
        Motion.VERY_LOW: 0.06,
        Motion.LOW: 0.18,
        Motion.FAIR: 0.36,
        Motion.HIGH: 0.52,
        Motion.VERY_HIGH: 0.68,
        Motion.EXTREMELY_HIGH: 0.85,
    }
)
"""Way in two seconds, as a share of the frame's side."""

MOTION_LEVELS = tuple(_TRAVEL)
"""Levels that captions name, from least to most."""

WIDE = NANO_SIZES["9:16"]
"""Size of most of what is drawn: the product's default (the table says height:width)."""

_LONGEST_WAY = 0.85
_RADIUS = (0.53, 0.59)
"""Smallest and largest, where the frame is two high."""

_SCATTER = 0.02
"""How far from the middle things are at most, as a share of the way to the border.

The latent has a cell for 8 x 8 pixels. Where a thing sits within a cell changes all the numbers of
its outline, so a small network learns outlines only if the words say where they are.
"""

PHASES = 1.5
"""How much places differ from seed to seed; each repeats after about six."""

_HOME = 0.2
"""When things are in the middle, and the camera where it would stand still, as a share of the clip.

Were it the half, words like "left" would say nothing about any frame before the network knows what
time it is, and the time nothing before it knows the words: neither would be learned for long.
"""

_EDGE = 1.6
"""Pixels over which an outline fades: a sharper one is finer than the VAE can keep."""

_TURNS = 2.5
"""Turns of what spins, in the time in which it would cross the frame."""

_DARKER = 0.55
_LIGHTER = 0.5
_CAMERA_SHARE = 0.8
_ZOOM_EXPONENT = 1.7


class Move(StrEnum):
    """What the thing does."""

    STILL = "still"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"
    BOUNCE = "bounce"
    CIRCLE = "circle"
    GROW = "grow"
    SHRINK = "shrink"
    SPIN = "spin"


STRAIGHT_MOVES = (Move.LEFT, Move.RIGHT, Move.UP, Move.DOWN)
"""Moves with a direction."""

_HEADINGS = {
    Move.LEFT: (-1.0, 0.0),
    Move.RIGHT: (1.0, 0.0),
    Move.UP: (0.0, 1.0),
    Move.DOWN: (0.0, -1.0),
}
_CAMERA_HEADINGS = {
    Camera.PAN_LEFT: (-1.0, 0.0),
    Camera.PAN_RIGHT: (1.0, 0.0),
    Camera.TILT_UP: (0.0, 1.0),
    Camera.TILT_DOWN: (0.0, -1.0),
}
_ZOOMS = {Camera.ZOOM_IN: 1.0, Camera.ZOOM_OUT: -1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One clip of the drawn world."""

    thing: str
    """Key of `OUTLINES`."""
    colour: str
    """Key of `COLOURS`."""
    place: str
    """Key of `PLACES`."""
    move: Move
    motion: Motion
    camera: Camera
    """`NONE` and `STATIC` draw the same."""
    aesthetic: Aesthetic
    seed: int
    """Size and way of the thing, details of the place."""


def is_held_out(colour: str, thing: str) -> bool:
    """Whether a pair is kept out of training, for measuring: one in ten of each colour's."""
    return (list(OUTLINES).index(thing) * 3 + list(COLOURS).index(colour)) % 10 == 0


def render(
    scene: Scene, size: PixelSize, frames: int, fps: float = 24, *, begins: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Draw a scene: uint8 [frames, height, width, 3].

    At a lower `fps` the same number of frames shows more time, so everything moves faster. A clip
    that `begins` later, by a share of its length, goes on from within the one that begins at 0.
    """
    picture, thing, cover = _layers(scene, size, frames, fps, begins)
    picture = picture + (thing - picture) * cover[..., None]
    return _developed(picture, scene.aesthetic)


def cover(
    scene: Scene, size: PixelSize, frames: int, fps: float = 24, *, begins: float = 0.0
) -> Array:
    """Say how much of each pixel of `render` the thing hides: 0..1, [frames, height, width]."""
    return _layers(scene, size, frames, fps, begins)[2]


def _layers(
    scene: Scene, size: PixelSize, frames: int, fps: float, begins: float
) -> tuple[Array, Array, Array]:
    """Draw the place and the colour of the thing, [T, H, W, 3] each, and where it is seen."""
    random = np.random.default_rng(scene.seed)
    # in units of two seconds
    time = ((np.arange(frames) + (begins - _HOME) * (frames - 1)) / (2 * fps)).astype(np.float32)
    x, y, pixel = _viewed(scene, size, time)
    picture = PLACES[scene.place](x, y, float(random.uniform(0, PHASES)))
    centre_x, centre_y, radius = _path(scene, size.width / size.height, time, random)
    across, up = (x - centre_x) / radius, (y - centre_y) / radius
    light = 0.93 + 0.07 * np.clip(up, -1, 1)[..., None]
    inner_x, inner_y = _turned(scene, across, up, time)
    fade = _EDGE * pixel / radius
    seen: Array = np.clip(0.5 - OUTLINES[scene.thing](inner_x, inner_y) / fade, 0, 1)
    tones = tones_of(scene.colour)
    colour: Array = np.broadcast_to(tones[Tone.BODY], (*seen.shape, 3))
    for part in SILHOUETTES.get(scene.thing, ()):
        colour = mix(colour, tones[part.tone], 0.5 - part.outline(inner_x, inner_y) / fade)
    return picture, colour * light, seen


def tones_of(colour: str) -> dict[Tone, Array]:
    """Return what the parts of a thing of a colour look like."""
    body = np.array(COLOURS[colour], np.float32)
    return {
        Tone.BODY: body,
        Tone.DARK: body * np.float32(_DARKER),
        Tone.LIGHT: body + (1 - body) * np.float32(_LIGHTER),
    }


def _turned(scene: Scene, x: Array, y: Array, time: Array) -> tuple[Array, Array]:
    """Turn a thing the way it goes, and around its middle if it spins."""
    if scene.move is Move.LEFT and scene.thing in FACING:
        return -x, y
    if scene.move is not Move.SPIN:
        return x, y
    angle = (2 * np.pi * _TURNS * _speed(scene.motion, time) * time)[:, None, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine - y * sine, x * sine + y * cosine


def _travel(motion: Motion, time: Array) -> float:
    """Whole way of a clip, as a share of the frame's side."""
    seconds = float(time[-1] - time[0])
    return min(_TRAVEL.get(motion, _TRAVEL[Motion.FAIR]) * seconds, _LONGEST_WAY)


def _speed(motion: Motion, time: Array) -> float:
    seconds = float(time[-1] - time[0])
    return _travel(motion, time) / seconds if seconds else 0.0


def _viewed(scene: Scene, size: PixelSize, time: Array) -> tuple[Array, Array, Array]:
    """Points of the world under each pixel, [T, H, W] each, and the width of a pixel there."""
    aspect = size.width / size.height
    columns = (np.arange(size.width, dtype=np.float32) + 0.5) / size.width * 2 - 1
    rows = 1 - (np.arange(size.height, dtype=np.float32) + 0.5) / size.height * 2
    x, y = np.meshgrid(columns * aspect, rows)
    speed = _speed(scene.motion, time) * _CAMERA_SHARE
    turn_x, turn_y = _CAMERA_HEADINGS.get(scene.camera, (0.0, 0.0))
    zoom = np.exp(-_ZOOMS.get(scene.camera, 0.0) * _ZOOM_EXPONENT * speed * time)[:, None, None]
    way = (2 * speed * time)[:, None, None]
    pixel: Array = 2 / size.height * zoom
    return x * zoom + way * turn_x * aspect, y * zoom + way * turn_y, pixel


def _path(
    scene: Scene, aspect: float, time: Array, random: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Plan the way of the thing: its centre and radius at each time, [T, 1, 1] each.

    But for a small chance offset, a caption and a time say where it is: a small network can learn
    that.
    """
    narrow = min(1.0, aspect)
    radius = random.uniform(*_RADIUS) * narrow
    start_x, start_y = random.uniform(-1, 1) * _SCATTER * aspect, random.uniform(-1, 1) * _SCATTER
    travel, speed = _travel(scene.motion, time), _speed(scene.motion, time)
    heading_x, heading_y = _HEADINGS.get(scene.move, (0.0, 0.0))
    x, y = 2 * aspect * heading_x * speed * time, 2 * heading_y * speed * time
    if scene.move is Move.BOUNCE:
        y = 2 * travel * (abs(np.sin(2 * np.pi * time)) - 0.5)
    elif scene.move is Move.CIRCLE:
        x, y = travel * np.sin(2 * np.pi * time), travel * np.cos(2 * np.pi * time)
    growth = {Move.GROW: 1.8, Move.SHRINK: -1.8}.get(scene.move, 0.0) * speed
    columns = (start_x + x, start_y + y, radius * np.exp(growth * time))
    across, up, size = (values.astype(np.float32)[:, None, None] for values in columns)
    return across, up, size


def _developed(picture: Array, aesthetic: Aesthetic) -> npt.NDArray[np.uint8]:
    """Lower levels look pale and flat."""
    levels = [level for level in Aesthetic if level is not Aesthetic.OFF]
    quality = 1.0 if aesthetic is Aesthetic.OFF else levels.index(aesthetic) / (len(levels) - 1)
    grey = picture.mean(-1, keepdims=True)
    picture = grey + (picture - grey) * (0.25 + 0.75 * quality)
    picture = 0.5 + (picture - 0.5) * (0.6 + 0.4 * quality)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
