"""Lightness of a clip moved towards that of a picture: one rising curve, as far as the clip bears.

Wanted is one-dimensional optimal transport: each lightness becomes that of the same rank in the
picture. Going there costs structural similarity (SSIM, Wang et al. 2004), more where it is dark
and where much is drawn, and steep curves make movement flicker. The best curve for some weights of
these is found by dynamic programming; the weights are searched for that bring the clip nearest,
keep SSIM above `LEAST_SSIM`, and let nothing flicker more than before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rushes_style.colour import Floats

LEAST_SSIM = 0.885
"""Of the clip's lightness before and after; the encoder and later frames take some of it."""
MOST_FLICKER = 1.07
"""Of the change from frame to frame, as a share of what it was; the encoder adds some."""
LEVELS: Floats = np.linspace(0, 100, 201, dtype=np.float32)
"""Where the curve has its nodes."""
_STEP = 0.5
_RISES = np.arange(6)
"""How many levels a curve may rise from one level to the next: its slopes."""
_LEAST_SLOPE = 0.2
"""So that no part of the picture loses its drawing."""
_WORTHS = np.geomspace(0.0005, 0.3, 32)
"""What it is worth, as SSIM, that the clip is nearer to the picture by a lightness of one."""
_PRICES = (0.0, 0.05, 0.2, 0.6, 2.0, 6.0)
"""What it costs that all movement is twice as much."""
_DRAWN = 0.5
"""What it costs that all drawing is gone."""
_QUANTILES = (np.arange(128) + 0.5) / 128
_SMOOTHING = 13
"""Levels over which the curve is smoothed, so that it does not bring out noise."""
_KERNEL: Floats = np.exp(-(np.arange(-5, 6, dtype=np.float32) ** 2) / (2 * 1.5**2))
_KERNEL /= _KERNEL.sum()
_C1, _C2 = 1.0, 9.0
"""(0.01 * 100)^2 and (0.03 * 100)^2, the constants of SSIM for lightness 0..100."""


def similarity(frame: Floats, curve: Floats) -> float:
    """Return the mean SSIM between a frame's lightness before and after a curve."""
    return _Structure.of(frame).similarity(curve)


def lightness_curve(frame: Floats, motion: Motion, picture: Floats) -> Floats:
    """Return the new lightness at each of `LEVELS`.

    Args:
        frame: Lightness of the first frame of the clip, [height, width].
        motion: What changes from this one to the next ones.
        picture: Lightness of the picture's pixels, [pixels].
    """
    structure = _Structure.of(frame)
    curves = _Curves(frame, motion, picture)
    best, least = LEVELS, curves.distance(LEVELS)
    for price in _PRICES:
        first, last = 0, len(_WORTHS)  # around the largest worth that is allowed
        while first < last:
            middle = (first + last) // 2
            curve = curves.best(float(_WORTHS[middle]), price)
            if motion.growth(curve) > MOST_FLICKER or structure.similarity(curve) < LEAST_SSIM:
                last = middle
                continue
            first = middle + 1
            distance = curves.distance(curve)
            if distance < least:
                best, least = curve, distance
    return best


class _Curves:
    """What each lightness may become, and what that costs."""

    def __init__(self, frame: Floats, motion: Motion, picture: Floats) -> None:
        some = frame[::3, ::3]
        self._old, self._new = np.quantile(some, _QUANTILES), np.quantile(picture, _QUANTILES)
        shares = np.bincount(_level(some).ravel(), minlength=len(LEVELS)) / some.size
        shares = np.convolve(shares, np.ones(5) / 5, "same")[:, None] + 1e-5
        ranks = np.interp(LEVELS, self._old, _QUANTILES)
        wanted = np.interp(ranks, _QUANTILES, self._new)
        self._off = shares * np.abs(wanted[:, None] - LEVELS)
        here = LEVELS[:, None]
        self._loss = shares * (1 - (2 * here * LEVELS + _C1) / (here**2 + LEVELS**2 + _C1))
        self._moving = _crossing(motion.before, motion.after)[:, None] * _RISES
        fainter = 1 - 2 * _RISES / (1 + _RISES**2)
        self._fainter = _DRAWN * _crossing(some[:, 1:], some[:, :-1])[:, None] * fainter

    def best(self, worth: float, price: float) -> Floats:
        """Return the rising curve that costs least."""
        count, steepest = len(LEVELS), len(_RISES) - 1
        own, rising = worth * self._off + self._loss, price * self._moving + self._fainter
        chosen = np.zeros((count, count), np.int64)
        before = np.full(count + steepest, np.inf)
        below = steepest - _RISES[:, None] + np.arange(count)
        total = own[0]
        for level in range(1, count):
            before[steepest:] = total
            ways = before[below] + rising[level][:, None]
            chosen[level] = ways.argmin(0)
            total = ways.min(0) + own[level]
        place = int(total.argmin())
        curve = np.empty(count, np.float32)
        for level in reversed(range(count)):
            curve[level] = LEVELS[place]
            place -= chosen[level, place]
        return self._smoothed(curve)

    def _smoothed(self, curve: Floats) -> Floats:
        """Return a curve without kinks, no part of which is flat."""
        padded = np.pad(curve, _SMOOTHING // 2, "edge")
        smooth = np.convolve(padded, np.ones(_SMOOTHING) / _SMOOTHING, "valid")
        rises = np.maximum(np.diff(smooth), _LEAST_SLOPE * _STEP)
        risen = np.concatenate([[0], np.cumsum(rises)])
        risen += np.interp(self._old, LEVELS, smooth - risen).mean()
        return np.clip(risen, 0, 100).astype(np.float32)

    def distance(self, curve: Floats) -> float:
        """Return how far the clip's lightness is from the picture's after a curve."""
        return float(np.abs(np.interp(self._old, LEVELS, curve) - self._new).mean())


def _level(lightness: Floats) -> npt.NDArray[np.int64]:
    return np.rint(np.clip(lightness, 0, 100) / _STEP).astype(np.int64)


def _crossing(some: Floats, others: Floats) -> Floats:
    """Return how much of the changes between two pictures goes through each level, 1 in all.

    What a rising curve makes of all changes is the sum of these shares times its slopes.
    """
    one, other = _level(some).ravel(), _level(others).ravel()
    count = len(LEVELS)
    begun = np.bincount(np.minimum(one, other) + 1, minlength=count + 1)
    ended = np.bincount(np.maximum(one, other) + 1, minlength=count + 1)
    through = np.cumsum(begun - ended)[:count].astype(np.float32)
    shares: Floats = through / max(1.0, float(through.sum()))
    return shares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """What changes from one frame to the next."""

    before: Floats
    after: Floats

    @classmethod
    def of(cls, moving: Floats) -> Self:
        """Find it in the lightness of some pixels of frames, [frames, rows, columns]."""
        return cls(before=moving[:-1], after=moving[1:])

    def growth(self, curve: Floats) -> float:
        """Return how much more changes after a curve; 1 where nothing does."""
        was = float(np.abs(self.after - self.before).sum())
        new = np.interp(self.after, LEVELS, curve) - np.interp(self.before, LEVELS, curve)
        return float(np.abs(new).sum()) / was if was else 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Structure:
    """One frame, and what SSIM needs of it."""

    frame: Floats
    mean: Floats
    variance: Floats
    below: npt.NDArray[np.int64]
    """The level below each pixel, of those that have one above."""
    share: Floats
    """Where between these two it is, 0 to 1."""

    @classmethod
    def of(cls, frame: Floats) -> Self:
        mean = _blurred(frame)
        place = np.clip(frame, 0, 100) / np.float32(_STEP)
        below = np.minimum(place.astype(np.int64), len(LEVELS) - 2)
        return cls(
            frame=frame,
            mean=mean,
            variance=_blurred(frame**2) - mean**2,
            below=below,
            share=place - below.astype(np.float32),
        )

    def similarity(self, curve: Floats) -> float:
        """Return the mean SSIM between the frame before and after a curve."""
        curve = np.asarray(curve, np.float32)
        new = curve[:-1].take(self.below) + self.share * np.diff(curve).take(self.below)
        mean = _blurred(new)
        variance = _blurred(new**2) - mean**2
        covariance = _blurred(self.frame * new) - self.mean * mean
        light = (2 * self.mean * mean + _C1) / (self.mean**2 + mean**2 + _C1)
        structure = (2 * covariance + _C2) / (self.variance + variance + _C2)
        return float((light * structure).mean())


def _blurred(image: Floats) -> Floats:
    """Return the means under SSIM's window; a tiny image is its own."""
    size = len(_KERNEL)
    for _ in range(2):
        rows = len(image) - size + 1
        if rows > 0:
            means = np.zeros((rows, *image.shape[1:]), np.float32)
            part = np.empty_like(means)
            for i, weight in enumerate(_KERNEL):
                means += np.multiply(image[i : i + rows], weight, out=part)
            image = means
        image = image.T
    return image
