"""Tokens of the transformer, and the rotary angles of their positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class RopeTable(NamedTuple):
    """Rotary angles of the positions in a box, as complex numbers of length one.

    Smaller boxes of the same clip use the first rows and columns.
    """

    turns: Tensor
    """[frames, rows, columns, head_channels / 2]."""

    def of_box(self, box: tuple[int, int, int]) -> Tensor:
        """Return the angles of a box's tokens, [tokens, 1, head_channels / 2]."""
        frames, rows, columns = box
        return self.turns[:frames, :rows, :columns].flatten(0, 2).unsqueeze(1)


@dataclass(slots=True)
class Tokens:
    """Tokens with a pending update: their value is `x + gate * update`.

    The addition is fused with the next norm. Only this object references the update, so that its
    memory is freed after the addition.
    """

    x: Tensor
    """[B, T, H, W, channels]; changed in place where no gradient is needed."""
    update: Tensor | None = None
    """Shaped like x."""
    gate: Tensor | None = None
    """[B, T or 1, 1, 1, channels]; None is 1."""

    def add(self) -> Tensor:
        """Apply the pending update and return the tokens."""
        if self.update is not None:
            if torch.is_grad_enabled():
                update = self.update if self.gate is None else self.gate * self.update
                self.x = self.x + update
            elif self.gate is None:
                self.x.add_(self.update)
            else:
                self.x.addcmul_(self.gate, self.update)
        self.update = self.gate = None
        return self.x
