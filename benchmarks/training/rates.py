"""How the learning rate goes over a training: up in a few steps, and down to zero at the end."""

from __future__ import annotations


def rate_share(step: int, steps: int, *, warm_up: int, cool_down: float) -> float:
    """Return by what the rate is multiplied at a step, 0..1.

    Args:
        step: Counted from 0.
        steps: Of the whole training.
        warm_up: Steps at the start over which the rate grows.
        cool_down: Share of the steps at the end over which it falls.
    """
    left = (steps - step) / max(steps * cool_down, 1)
    return min(1.0, (step + 1) / warm_up, left)
