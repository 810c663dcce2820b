"""Open-Sora's model options: motion, aesthetic, camera, frame rate and speed."""

from __future__ import annotations

from enum import StrEnum

from inference.domain.capabilities import ModelOption, OptionKind
from inference.domain.spec import Mode

_VIDEO = frozenset({Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO})


class Motion(StrEnum):
    """Amount of motion. `OFF` leaves the phrase out of the caption."""

    OFF = "off"
    VERY_LOW = "very low"
    LOW = "low"
    FAIR = "fair"
    HIGH = "high"
    VERY_HIGH = "very high"
    EXTREMELY_HIGH = "extremely high"


class Aesthetic(StrEnum):
    """Aesthetic level. `OFF` leaves the phrase out of the caption."""

    OFF = "off"
    TERRIBLE = "terrible"
    VERY_POOR = "very poor"
    POOR = "poor"
    FAIR = "fair"
    GOOD = "good"
    VERY_GOOD = "very good"
    EXCELLENT = "excellent"


class Camera(StrEnum):
    """Camera movement; `NONE` says nothing about it, `STATIC` asks for a fixed camera."""

    NONE = "none"
    PAN_RIGHT = "pan right"
    PAN_LEFT = "pan left"
    TILT_UP = "tilt up"
    TILT_DOWN = "tilt down"
    ZOOM_IN = "zoom in"
    ZOOM_OUT = "zoom out"
    STATIC = "static"


class Speed(StrEnum):
    """Speed levels, which trade quality for time."""

    EXACT = "exact"
    """Every step is evaluated in full precision."""
    BALANCED = "balanced"
    """Some steps are skipped: `inference.opensora.step_plan`."""
    FAST = "fast"
    """As `BALANCED`, with most matrix products in FP8: `inference.opensora.networks.fp8`."""


CONTROLS = (
    ModelOption(
        name="motion",
        kind=OptionKind.CHOICE,
        choices=tuple(Motion),
        worded=True,
        default=Motion.FAIR.value,
        modes=_VIDEO,
    ),
    ModelOption(
        name="aesthetic",
        kind=OptionKind.CHOICE,
        choices=tuple(Aesthetic),
        worded=True,
        default=Aesthetic.EXCELLENT.value,
        advanced=True,
    ),
    ModelOption(
        name="camera",
        kind=OptionKind.CHOICE,
        choices=tuple(Camera),
        worded=True,
        default=Camera.NONE.value,
        modes=_VIDEO,
    ),
    ModelOption(
        name="fps",
        kind=OptionKind.INTEGER,
        lowest=1,
        highest=60,
        default=24,
        advanced=True,
        modes=_VIDEO,
    ),
)
"""Options of Open-Sora only. `fps` conditions the model; motion looks faster with a lower one."""


def make_speed_option(*speeds: Speed) -> ModelOption:
    """Return the option with these speeds as choices; the first is its default."""
    return ModelOption(
        name="speed",
        kind=OptionKind.CHOICE,
        choices=speeds,
        worded=True,
        default=speeds[0].value,
        advanced=True,
    )
