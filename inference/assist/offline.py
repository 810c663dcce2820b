"""Random prompts from a small grammar, reproducible by seed.

```
prompt = subject action place "." light lens [camera] style
```
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from inference.assist.vocabulary import CAMERAS, CASTS, LENSES, LIGHTS, STYLES
from inference.domain.spec import Camera, Mode, Spec

NANO = "nano"


def draw(spec: Spec) -> str:
    """Return the random prompt of the spec's seed, in the vocabulary of its model."""
    return _for_nano(spec) if spec.model == NANO else _for_any(spec)


def _for_any(spec: Spec) -> str:
    lot = Random(spec.seed)  # noqa: S311 - to be drawn again, not to be secret
    # Weighted by the number of combinations, so that each is equally likely.
    cast = lot.choices(CASTS, [len(c.subjects) * len(c.actions) * len(c.places) for c in CASTS])[0]
    subject, action, place = (
        lot.choice(words) for words in (cast.subjects, cast.actions, cast.places)
    )
    light, lens, camera, style = (lot.choice(lines) for lines in (LIGHTS, LENSES, CAMERAS, STYLES))
    first = f"{subject[0].upper()}{subject[1:]} {action} {place}."
    moves = spec.mode is not Mode.TEXT_TO_IMAGE and spec.camera is Camera.NONE
    return " ".join([first, light, lens, *([camera] if moves else []), style])


def _for_nano(spec: Spec) -> str:
    """Describe a scene of the kind that nano was trained on."""
    import numpy as np  # noqa: PLC0415 - only who has nano needs either

    from inference.nano.captions import draw_scene, plain  # noqa: PLC0415
    from inference.nano.scenes import Move  # noqa: PLC0415

    scene = draw_scene(np.random.default_rng(spec.seed))
    if spec.mode is Mode.TEXT_TO_IMAGE:
        scene = replace(scene, move=Move.STILL)
    return plain(scene).prompt
