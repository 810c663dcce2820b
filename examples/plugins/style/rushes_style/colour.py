"""Conversion between sRGB and CIELAB (D65), after IEC 61966-2-1 and CIE 15."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    np.float32,
)
_WHITE = _TO_XYZ.sum(1)
_FROM_XYZ = np.linalg.inv(_TO_XYZ / _WHITE[:, None]).astype(np.float32)
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27
_LINEAR: Floats = np.array(
    [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.arange(256) / 255],  # noqa: PLR2004 - of the standard
    np.float32,
)
_ROUNDING = 1e-3
_HALVINGS = 7
"""Steps of the search for the most colour that a screen can show; exact to 1 %."""


def to_lab(rgb: npt.NDArray[np.uint8]) -> Floats:
    """Return uint8 sRGB [..., 3] as CIELAB: lightness 0..100, a, b."""
    xyz = _LINEAR[rgb] @ (_TO_XYZ / _WHITE[:, None]).T
    f = np.where(xyz > _EPSILON, np.cbrt(xyz), (_KAPPA * xyz + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def from_lab(lab: Floats) -> Floats:
    """Return CIELAB [colours, 3] as sRGB 0..255.

    What no screen can show gets as much of its colour as one can, at the same lightness.
    """
    lab = lab.copy()
    lab[:, 0] = np.clip(lab[:, 0], 0, 100)
    linear = _linear(lab)
    [outside] = np.nonzero(~_shown(linear))
    if outside.size:
        least, most = np.zeros(outside.size, np.float32), np.ones(outside.size, np.float32)
        paled = lab[outside]
        for _ in range(_HALVINGS):
            middle = (least + most) / 2
            paled[:, 1:] = lab[outside, 1:] * middle[:, None]
            shown = _shown(_linear(paled))
            least, most = np.where(shown, middle, least), np.where(shown, most, middle)
        paled[:, 1:] = lab[outside, 1:] * least[:, None]
        linear[outside] = _linear(paled)
    linear = np.clip(linear, 0, 1)
    encoded = np.where(
        linear <= 0.0031308,  # noqa: PLR2004 - of the standard
        linear * 12.92,
        1.055 * np.power(linear, 1 / 2.4) - 0.055,
    )
    return encoded * 255


def _linear(lab: Floats) -> Floats:
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], -1)
    xyz = np.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA)
    linear: Floats = xyz @ _FROM_XYZ.T
    return linear


def _shown(linear: Floats) -> npt.NDArray[np.bool_]:
    shown: npt.NDArray[np.bool_] = np.all(np.abs(linear - 0.5) <= 0.5 + _ROUNDING, axis=-1)
    return shown
