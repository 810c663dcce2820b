"""Random prompts from a small grammar, reproducible by seed.

```
prompt = subject action place "." light lens [camera] style
```
"""

from __future__ import annotations

from random import Random

from inference.assist.random_words import CAMERAS, CASTS, LENSES, LIGHTS, STYLES
from inference.domain.spec import Mode, Spec
from inference.opensora.controls import Camera


def draw(spec: Spec) -> str:
    """Return the random prompt of the spec's seed."""
    lot = Random(spec.seed)  # noqa: S311 - to be drawn again, not to be secret
    # Weighted by the number of combinations, so that each is equally likely.
    cast = lot.choices(CASTS, [len(c.subjects) * len(c.actions) * len(c.places) for c in CASTS])[0]
    subject, action, place = (
        lot.choice(words) for words in (cast.subjects, cast.actions, cast.places)
    )
    light, lens, camera, style = (lot.choice(lines) for lines in (LIGHTS, LENSES, CAMERAS, STYLES))
    first = f"{subject[0].upper()}{subject[1:]} {action} {place}."
    filmed = spec.options.get("camera", Camera.NONE) != Camera.NONE
    moves = spec.mode is not Mode.TEXT_TO_IMAGE and not filmed
    return " ".join([first, light, lens, *([camera] if moves else []), style])
