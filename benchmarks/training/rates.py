"""Learning rate schedule: linear warm-up, constant, and decay to zero at the end."""

from __future__ import annotations


def rate_share(step: int, steps: int, *, warm_up: int, cool_down: float) -> float:
    """Return the factor of the learning rate at a step, 0..1.

    Args:
        step: Step, counted from 0.
        steps: Steps of the whole training.
        warm_up: Number of warm-up steps.
        cool_down: Share of all steps over which the rate decays at the end.
    """
    left = (steps - step) / max(steps * cool_down, 1)
    return min(1.0, (step + 1) / warm_up, left)
