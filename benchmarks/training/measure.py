"""Measurement of captions' attributes in the pixels of clips. Pure numpy, without a model.

All functions take frames as uint8 [frames, height, width, 3]. They know the caption and how scenes
are drawn, to separate a thing from its place; tests check them on rendered scenes with known
answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from benchmarks.training.world.backgrounds import COLOURS, PLACES, Array
from benchmarks.training.world.captions import draw_scene
from benchmarks.training.world.scenes import PHASES, WIDE, Move, render, tones_of
from benchmarks.training.world.shapes import OUTLINES
from benchmarks.training.world.silhouettes import FACING, Tone
from inference.opensora.controls import Aesthetic, Camera
from inference.opensora.geometry import PixelSize

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_COLOUR_TOLERANCE = 0.3
"""Largest distance in RGB 0..1 at which a pixel counts as having a colour."""

_PLACE_TOLERANCE = 0.08
"""Distance from any picture of the empty place at which a pixel still belongs to it."""

_TYPICAL_TOLERANCE = 0.2
"""The same for the typical picture. A model draws nights a little darker than they are, which would
make them black."""

_PICTURES = 24
"""Pictures of each empty place."""

_SHADY = 2.0
"""Factor by which darker and lighter tones must be nearer than the colour itself, because places
may have these tones too."""

_STILL = 0.05
"""Distance, as a share of the frame's side, below which a thing counts as still."""

_SAMPLED = 9
"""Frames sampled from a clip for slow measurements."""

_SILHOUETTE = 20
"""Side of a silhouette in pixels."""

_SIDES = tuple(
    (thing, move)
    for thing in OUTLINES
    for move in ((Move.LEFT, Move.RIGHT) if thing in FACING else (Move.RIGHT,))
)
"""All things, in both directions if they face the direction of motion."""

_DRAWN_OF_EACH = 40
_RIDGE = 0.1
_NEAR = 0.15
"""Scale of similarity: share of differing pixels at which silhouettes are still similar."""


def colour_shares(frames: Frames, place: str) -> dict[str, float]:
    """Return the share of pixels whose nearest colour, within tolerance, is each colour.

    Pixels nearer to the empty place do not count: in front of light grey, a soft edge is not white.
    """
    pixels = _reduced(_sampled(frames))
    masks = _coloured(pixels, _distance_limit(pixels, place))
    return {name: float(mask.mean()) for name, mask in masks.items()}


def colour_of_thing(frames: Frames, place: str) -> str:
    """Return the colour of the thing: the one most above its share in the empty place."""
    shares, usual = colour_shares(frames, place), _usual_shares(place)
    return max(shares, key=lambda name: shares[name] - usual[name])


def place_of(frames: Frames) -> str:
    """Return the place, by the colours of rows from top to bottom."""
    seen = _rows(np.median(_sampled(frames), axis=0)[None])
    return min(PLACES, key=lambda place: float(((_usual_rows(place) - seen) ** 2).sum()))


def movement(frames: Frames, colour: str) -> tuple[float, float]:
    """Return the displacement of the thing of a colour: right and up, as shares of the sides.

    Pixels that always have the colour are ignored. The camera must be still, and displacements
    shorter than the thing itself are overestimated.
    """
    mask = _coloured(_reduced(frames))[colour].astype(np.float32)
    changing = mask - mask.mean(0) * (mask.min(0) > 0)
    weight = changing.sum((1, 2))
    seen = weight > max(weight.max() * 0.15, 1)
    if seen.sum() < len(frames) / 3:
        return 0.0, 0.0
    height, width = mask.shape[1:]
    right = (changing.sum(1) @ np.arange(width))[seen] / weight[seen] / width
    down = (changing.sum(2) @ np.arange(height))[seen] / weight[seen] / height
    time = np.flatnonzero(seen) / (len(frames) - 1)
    return float(np.polyfit(time, right, 1)[0]), -float(np.polyfit(time, down, 1)[0])


def direction_of(frames: Frames, colour: str) -> Move:
    """Return the direction of the thing of a colour: left, right, up, down, or still."""
    right, up = movement(frames, colour)
    if max(abs(right), abs(up)) < _STILL:
        return Move.STILL
    if abs(right) > abs(up):
        return Move.RIGHT if right > 0 else Move.LEFT
    return Move.UP if up > 0 else Move.DOWN


def camera_of(frames: Frames) -> Camera:
    """Return the camera movement, by the picture's optical flow; `STATIC` if there is none."""
    right, up, zoom = camera_flow(frames)
    strengths = {
        (Camera.PAN_LEFT, Camera.PAN_RIGHT): -right,
        (Camera.TILT_DOWN, Camera.TILT_UP): -up,
        (Camera.ZOOM_OUT, Camera.ZOOM_IN): zoom / 2,  # displacement at the border
    }
    (backward, forward), strength = max(strengths.items(), key=lambda item: abs(item[1]))
    if abs(strength) < _STILL:
        return Camera.STATIC
    return forward if strength > 0 else backward


def camera_flow(frames: Frames) -> tuple[float, float, float]:
    """Return the total optical flow of the picture: right and up as shares of the sides, log zoom.

    Least squares over the brightness of neighbouring frames (Lucas & Kanade, IJCAI 1981), in two
    passes. The second leaves out the pixels with the largest errors, which belong to the thing.
    """
    grey = _blurred(_reduced(frames).mean(-1))
    height, width = grey.shape[1:]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = (columns - width / 2)[1:-1, 1:-1], (rows - height / 2)[1:-1, 1:-1]
    total = np.zeros(3)
    for before, after in pairwise(grey):
        mean = (before + after) / 2
        slope_x = ((mean[:, 2:] - mean[:, :-2]) / 2)[1:-1]
        slope_y = ((mean[2:] - mean[:-2]) / 2)[:, 1:-1]
        change = (after - before)[1:-1, 1:-1]
        design = np.stack([slope_x, slope_y, slope_x * x + slope_y * y], -1).reshape(-1, 3)
        weight = np.ones((len(design), 1), np.float32)
        for _ in range(2):
            weighted = (design * weight).T
            flow = np.linalg.lstsq(weighted @ design, -weighted @ change.ravel(), rcond=None)[0]
            error = abs(design @ flow + change.ravel())[:, None]
            weight = (error <= np.quantile(error, 0.85)).astype(np.float32)
        total += flow
    return float(total[0] / width), float(-total[1] / height), float(total[2])


def thing_of(frames: Frames, colour: str, place: str) -> str:
    """Return the thing, by the similarity of its silhouette to drawn ones.

    The camera must be still: the silhouette is the pixels nearer to the colour than to the empty
    place.
    """
    drawn, reader = _outline_reader()
    scores = np.zeros(len(_SIDES))
    for silhouette in _silhouettes(_sampled(frames), colour, place):
        if silhouette is not None:
            scores += (_likeness(silhouette.reshape(1, -1).astype(np.float32), drawn) @ reader)[0]
    return _SIDES[int(scores.argmax())][0]


def liveliness(frames: Frames) -> float:
    """Return the mean absolute change of pixels between frames, 0..255."""
    return float(abs(np.diff(frames.astype(np.int16), axis=0)).mean())


def saturation(frames: Frames) -> float:
    """Return the mean difference of pixels' largest and smallest channel, 0..255."""
    return float((frames.max(-1).astype(int) - frames.min(-1)).mean())


def psnr(frames: Frames, reference: Frames) -> float:
    """Return the peak signal-to-noise ratio in decibels."""
    error = float(((frames.astype(float) - reference) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _sampled(frames: Frames) -> Frames:
    steps = np.linspace(0, len(frames) - 1, min(_SAMPLED, len(frames))).astype(int)
    return np.take(frames, steps, axis=0)


def _coloured(pixels: Array, within: Array | float = _COLOUR_TOLERANCE) -> dict[str, Mask]:
    """Return masks of pixels of each colour, within a distance: [frames, height, width] each."""
    distances = np.stack([_distance(pixels, name) for name in COLOURS])
    nearest = distances.argmin(0)
    near = distances.min(0) < within
    return {name: (nearest == index) & near for index, name in enumerate(COLOURS)}


def _distance_limit(pixels: Array, place: str) -> Array:
    """Return how near pixels must be to a colour: nearer than to the place, within tolerance.

    It is zero for pixels that are nearly those of the empty place: of any of its pictures, which
    have lights and stars elsewhere, and of the typical one.
    """
    size = PixelSize(*pixels.shape[1:3])
    away = np.min([np.linalg.norm(pixels - one, axis=-1) for one in _usual(place, size)], axis=0)
    typical = np.linalg.norm(pixels - _empty(place, size), axis=-1)
    near = np.minimum(np.minimum(away, typical), _COLOUR_TOLERANCE)
    apart = (away > _PLACE_TOLERANCE) & (typical > _TYPICAL_TOLERANCE)
    limit: Array = np.where(apart, near, 0)
    return limit


def _distance(pixels: Array, colour: str) -> Array:
    """Return the distance of pixels [..., 3] from a colour in RGB 0..1, [...]."""
    distance: Array = np.linalg.norm(pixels - np.array(COLOURS[colour], np.float32), axis=-1)
    return distance


@cache
def _usual(place: str, size: PixelSize = WIDE) -> Array:
    """Return pictures of an empty place with different seeds, 0..1."""
    across = np.linspace(-1, 1, size.width, dtype=np.float32) * size.width / size.height
    x, y = np.meshgrid(across, np.linspace(1, -1, size.height, dtype=np.float32))
    return np.stack([PLACES[place](x, y, phase) for phase in np.linspace(0, PHASES, _PICTURES)])


@cache
def _empty(place: str, size: PixelSize) -> Array:
    """Return the typical picture of an empty place, pixel by pixel, 0..1."""
    middle: Array = np.median(_usual(place, size), axis=0)
    return middle


@cache
def _usual_shares(place: str) -> dict[str, float]:
    return colour_shares((_usual(place) * 255).astype(np.uint8), place)


@cache
def _usual_rows(place: str) -> Array:
    return _rows((_usual(place) * 255).astype(np.uint8))


def _rows(pictures: npt.NDArray[np.generic]) -> Array:
    """Return the mean colour and roughness of eight bands from top to bottom."""
    pixels = pictures.astype(np.float32) / 255
    bands = np.array_split(pixels, 8, axis=1)
    return np.array([[*band.mean((0, 1, 2)), band.std((0, 1, 2)).mean()] for band in bands])


def _reduced(frames: Frames) -> Array:
    """Scale down by an integer factor to about a hundred columns, fp32 0..1."""
    factor = max(round(max(frames.shape[1:3]) / 112), 1)
    height, width = (side // factor * factor for side in frames.shape[1:3])
    blocks = frames[:, :height, :width].reshape(
        len(frames), height // factor, factor, width // factor, factor, 3
    )
    reduced: Array = blocks.mean((2, 4), dtype=np.float32) / np.float32(255)
    return reduced


def _blurred(grey: Array) -> Array:
    """Smooth four times with 1 2 1 in both directions, so that gradients span a frame's motion."""
    for _ in range(4):
        for axis in (1, 2):
            grey = _smoothed(grey, axis)
    return grey


def _smoothed(grey: Array, axis: int) -> Array:
    along = np.moveaxis(grey, axis, -1)
    padded = np.concatenate((along[..., :1], along, along[..., -1:]), axis=-1)
    smooth: Array = (padded[..., 2:] + 2 * along + padded[..., :-2]) / 4
    return np.moveaxis(smooth, -1, axis)


def _silhouettes(frames: Frames, colour: str, place: str) -> Iterator[Mask | None]:
    """Yield the silhouette of the thing in each frame, or None."""
    pixels = _reduced(frames)
    away = np.min(
        [
            np.linalg.norm(pixels - tone, axis=-1) * (1 if name is Tone.BODY else _SHADY)
            for name, tone in tones_of(colour).items()
        ],
        axis=0,
    )
    masks = away < _distance_limit(pixels, place)
    for mask in masks:
        yield _cut_out(_in_one_piece(mask))


def _in_one_piece(mask: Mask) -> Mask:
    """Keep the connected component at the densest part of a mask, across gaps of two pixels."""
    crowd = mask[None].astype(np.float32)
    for _ in range(3):
        crowd = _blurred(crowd)
    wide, kept = _widened(mask), np.zeros_like(mask)
    kept[np.unravel_index(crowd[0].argmax(), mask.shape)] = True
    while (grown := _widened(kept) & wide).sum() > kept.sum():
        kept = grown
    piece: Mask = kept & mask
    return piece


def _widened(mask: Mask) -> Mask:
    """Dilate a mask by one pixel, including diagonals."""
    padded = np.pad(mask, 1)
    across = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
    wide: Mask = across[:-2] | across[1:-1] | across[2:]
    return wide


def _cut_out(mask: Mask) -> Mask | None:
    """Scale a mask's bounding box, made square around its centre, to the size of a silhouette."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if mask.sum() < 12:
        return None
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    steps = (np.arange(_SILHOUETTE) + 0.5) / _SILHOUETTE * side - side / 2
    down = np.round((rows[0] + rows[-1]) / 2 + steps).astype(int)
    along = np.round((columns[0] + columns[-1]) / 2 + steps).astype(int)
    height, width = mask.shape
    inside = ((down >= 0) & (down < height))[:, None] & ((along >= 0) & (along < width))
    cut: Mask = mask[np.ix_(down.clip(0, height - 1), along.clip(0, width - 1))] & inside
    return cut


@cache
def _outline_reader() -> tuple[Array, Array]:
    """Fit a classifier of silhouettes by kernel ridge regression; returns examples and weights.

    Half of the drawn examples are blurred, because a model's outlines are less sharp.
    """
    random = np.random.default_rng(0)
    silhouettes, answers = [], []
    for index, (thing, move) in enumerate(_SIDES * _DRAWN_OF_EACH):
        scene = replace(
            draw_scene(random),
            thing=thing,
            move=move,
            camera=Camera.NONE,
            aesthetic=Aesthetic.EXCELLENT,
        )
        frame = render(scene, WIDE, 1).astype(np.float32)
        for _ in range(index % 2):
            frame = _smoothed(_smoothed(frame, 1), 2)
        for silhouette in _silhouettes(frame.astype(np.uint8), scene.colour, scene.place):
            if silhouette is None:
                continue
            silhouettes.append(silhouette.ravel().astype(np.float32))
            answers.append(index % len(_SIDES))
    seen = np.stack(silhouettes)
    wanted = np.eye(len(_SIDES), dtype=np.float32)[answers] - 1 / len(_SIDES)
    alike = _likeness(seen, seen) + _RIDGE * np.eye(len(seen), dtype=np.float32)
    return seen, np.linalg.solve(alike, wanted)


def _likeness(some: Array, others: Array) -> Array:
    """Return the similarity of silhouettes, 0..1: a kernel of the share of differing pixels."""
    differing = some.sum(1)[:, None] + others.sum(1) - 2 * some @ others.T
    likeness: Array = np.exp(-differing / (_NEAR * some.shape[1]))
    return likeness
