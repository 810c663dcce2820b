"""Drawn scenes that nano is trained on: one thing, moving in a place in front of a camera.

A `Scene` has everything that a caption can say, and a seed for the rest; `render` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from benchmarks.training.world.backgrounds import COLOURS, PLACES, PLAIN, Array, mix
from benchmarks.training.world.shapes import OUTLINES
from benchmarks.training.world.silhouettes import FACING, SILHOUETTES, Tone
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
"""Colours that are invisible in a place; such scenes are used neither in training nor evaluation.
"""

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
"""Distance in two seconds by motion level, as a share of the frame's side."""

MOTION_LEVELS = tuple(_TRAVEL)
"""Motion levels in captions, from least to most."""

WIDE = NANO_SIZES["9:16"]
"""Size of most training scenes: 16:9, the default aspect (keys are height:width)."""

_LONGEST_WAY = 0.85
_RADIUS = (0.53, 0.59)
"""Smallest and largest radius of things; a frame has height 2."""

_SCATTER = 0.02
"""Largest random offset of things from the middle, as a share of the distance to the border.

A latent pixel covers 8 x 8 pixels, and all latents of an outline depend on the thing's position in
them. A small network therefore learns outlines only if their position follows from the caption.
"""

PHASES = 1.5
"""Range of random phases of places, which repeat after about 6."""

_HOME = 0.2
"""Time, as a share of the clip, at which thing and camera are where they would be without motion.

It is not the half: then the average effect of a word like "left" over all times would be zero, and
so would that of the time over all words, and the network would take long to learn either.
"""

_EDGE = 1.6
"""Width of an outline's soft edge in pixels; the VAE cannot represent sharper ones."""

_TURNS = 2.5
"""Turns of spinning things in the time in which moving ones would cross the frame."""

_DARKER = 0.55
_LIGHTER = 0.5
_CAMERA_SHARE = 0.8
_ZOOM_EXPONENT = 1.7


class Move(StrEnum):
    """Motion of the thing."""

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
    """Description of one drawn clip."""

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
    """Seed of the thing's size and offset, and of the place's details."""


def is_held_out(colour: str, thing: str) -> bool:
    """Return whether a pair is held out from training: one in ten of each colour."""
    return (list(OUTLINES).index(thing) * 3 + list(COLOURS).index(colour)) % 10 == 0


def render(
    scene: Scene, size: PixelSize, frames: int, fps: float = 24, *, begins: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Draw a scene: uint8 [frames, height, width, 3].

    With a lower `fps` the same number of frames covers more time, so motion is faster. `begins`
    shifts the start, as a share of the clip's length.
    """
    picture, thing, cover = _layers(scene, size, frames, fps, begins)
    picture = picture + (thing - picture) * cover[..., None]
    return _developed(picture, scene.aesthetic)


def cover(
    scene: Scene, size: PixelSize, frames: int, fps: float = 24, *, begins: float = 0.0
) -> Array:
    """Return the coverage of each pixel of `render` by the thing: 0..1, [frames, height, width]."""
    return _layers(scene, size, frames, fps, begins)[2]


def _layers(
    scene: Scene, size: PixelSize, frames: int, fps: float, begins: float
) -> tuple[Array, Array, Array]:
    """Return the place and the thing's colour, [T, H, W, 3] each, and the thing's coverage."""
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
    """Return the RGB colours of a thing's parts, for its colour."""
    body = np.array(COLOURS[colour], np.float32)
    return {
        Tone.BODY: body,
        Tone.DARK: body * np.float32(_DARKER),
        Tone.LIGHT: body + (1 - body) * np.float32(_LIGHTER),
    }


def _turned(scene: Scene, x: Array, y: Array, time: Array) -> tuple[Array, Array]:
    """Return coordinates in a thing's frame: mirrored if it faces left, rotated if it spins."""
    if scene.move is Move.LEFT and scene.thing in FACING:
        return -x, y
    if scene.move is not Move.SPIN:
        return x, y
    angle = (2 * np.pi * _TURNS * _speed(scene.motion, time) * time)[:, None, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine - y * sine, x * sine + y * cosine


def _travel(motion: Motion, time: Array) -> float:
    """Return the total distance of a clip, as a share of the frame's side."""
    seconds = float(time[-1] - time[0])
    return min(_TRAVEL.get(motion, _TRAVEL[Motion.FAIR]) * seconds, _LONGEST_WAY)


def _speed(motion: Motion, time: Array) -> float:
    seconds = float(time[-1] - time[0])
    return _travel(motion, time) / seconds if seconds else 0.0


def _viewed(scene: Scene, size: PixelSize, time: Array) -> tuple[Array, Array, Array]:
    """Return the point of the plane at each pixel, x and y [T, H, W], and the width of a pixel."""
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
    """Return the thing's path: centre x, y and radius at each time, [T, 1, 1] each.

    Apart from a small random offset, the caption and the time determine the position.
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
    """Apply the aesthetic level (lower ones are pale and flat) and convert to uint8."""
    levels = [level for level in Aesthetic if level is not Aesthetic.OFF]
    quality = 1.0 if aesthetic is Aesthetic.OFF else levels.index(aesthetic) / (len(levels) - 1)
    grey = picture.mean(-1, keepdims=True)
    picture = grey + (picture - grey) * (0.25 + 0.75 * quality)
    picture = 0.5 + (picture - 0.5) * (0.6 + 0.4 * quality)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
