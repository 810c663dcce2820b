"""The effect `style`: gives the frames of a clip the colours and light of a picture."""

from __future__ import annotations

import numpy as np

from inference.domain.capabilities import ModelOption, OptionKind
from inference.effects.base import EffectContext, EffectEntry
from rushes_style.colour import Floats, to_lab
from rushes_style.look import Look, NoiseGate, Picture, Pixels, sampled

NAME, STRENGTH = "style", "style-strength"

_OTHER_SCENE, _SAME_SCENE = 13.0, 3.0
"""Distance in CIELAB between mean colours: above the first it is another scene, which has settled
once it is below the second. What moves through a scene stays below the first."""
_LEAST_FRAMES = 4
"""In which one look may become another without a jump."""


class Style:
    """The effect on one clip: one look for all of it, so that nothing flickers.

    Where the scene becomes another one, after a cut or a fade, the look follows within the chunk.
    """

    def __init__(self, context: EffectContext) -> None:
        self._picture = Picture.read(context.pictures[NAME])
        self._strength = float(context.values[STRENGTH]) / 100
        self._look: Look | None = None
        self._gate = NoiseGate()
        self._scene: Floats = np.zeros(3, np.float32)
        self._changing = False

    def apply(self, frames: Pixels, context: EffectContext) -> Pixels:
        """Recolour a chunk of frames in place."""
        if not self._strength:
            return frames
        scene = to_lab(sampled(frames)).mean(0)
        if self._look is None:
            self._look, self._scene = self._made(frames), scene
        elif self._is_another(scene) and len(frames) >= _LEAST_FRAMES:
            old, self._look, self._scene = self._look, self._made(frames), scene
            for index in range(len(frames)):
                look = old.towards(self._look, (index + 1) / len(frames))
                look.apply(frames[index : index + 1])
            self._gate = NoiseGate()
            return frames
        self._look.apply(frames, self._gate)
        return frames

    def _made(self, frames: Pixels) -> Look:
        return Look.make(self._picture, frames, self._strength)

    def _is_another(self, scene: Floats) -> bool:
        limit = _SAME_SCENE if self._changing else _OTHER_SCENE
        self._changing = float(np.linalg.norm(scene - self._scene)) > limit
        return self._changing


STYLE = EffectEntry(
    name=NAME,
    options=(
        ModelOption(
            name=NAME,
            kind=OptionKind.IMAGE,
            default="",
            texts={
                "en": "Image whose colours and light the clip gets",
                "ko": "클립에 입힐 색과 빛을 가진 이미지",
            },
        ),
        ModelOption(
            name=STRENGTH,
            kind=OptionKind.INTEGER,
            lowest=0,
            highest=100,
            default=100,
            advanced=True,
            texts={
                "en": "How much of the image's colours and light, in percent",
                "ko": "이미지의 색과 빛을 입히는 정도(퍼센트)",
            },
        ),
    ),
    make=Style,
    order=50,
    reference_strength=STRENGTH,
    seconds_per_megapixel_frame=0.06,
)
