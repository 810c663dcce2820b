"""Mixture of weights: the weighted mean of several states of one training.

    python -m benchmarks.training.mix NEW RUN/weights 0.52 EARLIER 0.28 inference/weights/nano 0.2

States of one training can be averaged as its steps can (Izmailov et al., UAI 2018). The mean is
smoother than its last state, so that `balanced` stays nearer to `exact`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

PARTS = ("transformer", "text_encoder")
"""Networks that training changes; everything else is copied from the first folder."""


def mix(folder: Path, states: Sequence[tuple[Path, float]]) -> None:
    """Write the weighted mean of folders of weights.

    Args:
        folder: Target folder; must not exist.
        states: Folders with weights of the same shapes, and their shares.

    Raises:
        ValueError: The shares do not sum to 1.
    """
    if abs(sum(share for _, share in states) - 1) > 1e-6:
        raise ValueError("the shares do not sum to 1")
    shutil.copytree(states[0][0], folder)
    for part in PARTS:
        name = Path(part, "model.safetensors")
        several = [(load_file(state / name), share) for state, share in states]
        mean = {
            key: torch.stack([one[key].float() * share for one, share in several]).sum(0)
            for key in several[0][0]
        }
        stored = {key: tensor.to(several[0][0][key].dtype) for key, tensor in mean.items()}
        save_file(stored, folder / name, {"format": "pt"})


def main() -> None:
    """Mix from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("new", type=Path, help="folder to write")
    parser.add_argument("states", nargs="+", metavar="WEIGHTS SHARE", help="folders and shares")
    options = parser.parse_args()
    if len(options.states) % 2:
        parser.error("each folder needs a share")
    pairs = zip(options.states[::2], options.states[1::2], strict=True)
    mix(options.new, [(Path(weights), float(share)) for weights, share in pairs])


if __name__ == "__main__":
    main()
