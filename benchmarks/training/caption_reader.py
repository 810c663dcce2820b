"""Reading lessons for the text encoder: it learns to tell what each word of a caption is about.

    python -m benchmarks.training.caption_reader WEIGHTS NEW --steps 400

Writes `NEW`, the folder of weights with the new text encoder, to start a training from. In "a
yellow diamond on an orange background" the transformer has to find out which colour is the
diamond's; it learns that very slowly from pictures, and a small reader of captions in a minute.
"""

from __future__ import annotations

import argparse
import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training.batches import token_ids
from benchmarks.training.objective import encode_padded
from benchmarks.training.reporting import Report, say
from benchmarks.training.start import watch_neighbours
from benchmarks.training.train import stored
from benchmarks.training.world.backgrounds import COLOURS, PLACES, PLAIN
from benchmarks.training.world.captions import Caption, describe, distracted, draw_scene
from benchmarks.training.world.scenes import Move, Scene
from benchmarks.training.world.shapes import OUTLINES
from inference.opensora.checkpoint import Placement, load_text_encoder
from inference.opensora.controls import Camera
from inference.opensora.text import TextEncoder

ATTRIBUTES = MappingProxyType(
    {
        "thing": tuple(OUTLINES),
        "colour": tuple(COLOURS),
        "place": tuple(PLACES),
        "move": tuple(Move),
        "camera": tuple(Camera),
    }
)
"""Fields of a scene that are read from its caption, with their possible values."""

_EVEN = 0.5

_LOOKS = 2
"""Words that each answer may come from, as a cross-attention with two heads."""

_NAMED_SHARE = 0.3
"""Share of captions with a named place; all others have a plain background and so two colours."""

_READER_RATE, _TEXT_RATE = 1e-2, 4e-4
_KEEP = 3.0
"""Weight of the distance from the embeddings of before, which the transformer knows."""


class CaptionReader(nn.Module):
    """Reads a scene's attributes from the embeddings of a caption as a cross-attention can."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.looks = nn.ModuleDict({name: nn.Linear(channels, _LOOKS) for name in ATTRIBUTES})
        self.answers = nn.ModuleDict(
            {name: nn.Linear(_LOOKS * channels, len(values)) for name, values in ATTRIBUTES.items()}
        )

    def forward(self, words: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Return the logits of each attribute's values, [B, values].

        Args:
            words: Embeddings, [B, tokens, channels].
            present: Which of them are not padding, [B, tokens] bool.
        """
        found = {}
        for name in ATTRIBUTES:
            looks = self.looks[name](words).masked_fill(~present[..., None], -torch.inf).softmax(1)
            seen = torch.einsum("btl,btc->blc", looks, words).flatten(1)
            found[name] = self.answers[name](seen)
        return found


def teach(
    encoder: TextEncoder, *, steps: int, captions: int = 64, seed: int = 0, report: Report
) -> dict[str, float]:
    """Train the text encoder in place, together with a new reader of its captions.

    Args:
        encoder: The text encoder, in fp32.
        steps: Number of steps.
        captions: Captions per step.
        seed: Seed of the captions and of the reader.
        report: Receives progress.

    Returns:
        The share of right answers for the last captions, by attribute.
    """
    before = TextEncoder(copy.deepcopy(encoder.model), encoder.tokenizer)
    watch_neighbours(encoder)
    model = encoder.model.requires_grad_(requires_grad=True)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    reader = CaptionReader(model.config.d_model)
    optimiser = torch.optim.AdamW(
        [
            {"params": list(reader.parameters()), "lr": _READER_RATE},
            {"params": list(model.parameters()), "lr": _TEXT_RATE},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.0,
    )
    right = dict.fromkeys(ATTRIBUTES, 0.0)
    for step in range(1, steps + 1):
        scenes = [_scene(random) for _ in range(captions)]
        told = [_told(scene, random) for scene in scenes]
        words, present = embedded(encoder, told)
        with torch.no_grad():
            known, _ = embedded(before, told)
        found, wanted = reader(words, present), answers(scenes)
        moved = (words - known)[present].square().mean()
        misread = [functional.cross_entropy(found[name], wanted[name]) for name in ATTRIBUTES]
        optimiser.zero_grad()
        loss = _KEEP * moved + torch.stack(misread).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        right = {name: share_right(found[name], wanted[name]) for name in ATTRIBUTES}
        if step % 10 == 0 or step == steps:
            said = " ".join(f"{name} {100 * share:.0f}" for name, share in right.items())
            report(f"step {step} read % {said}, moved {float(moved.detach()):.3f}")
    return right


def _scene(random: np.random.Generator) -> Scene:
    """Sample a training scene, most often with a plain background."""
    named = random.random() < _NAMED_SHARE
    while True:
        scene = draw_scene(random)
        if named or scene.place in PLAIN:
            return scene


def _told(scene: Scene, random: np.random.Generator) -> Caption:
    """Describe a scene, half of the times with words that say nothing."""
    caption = describe(scene, random, image=random.random() < _EVEN)
    return distracted(caption, random) if random.random() < _EVEN else caption


def answers(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Return the index of each attribute's value, [B] each."""
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes])
        for name, values in ATTRIBUTES.items()
    }


def embedded(encoder: TextEncoder, captions: Sequence[Caption]) -> tuple[Tensor, Tensor]:
    """Return the embeddings of captions, [B, tokens, channels], and which are not padding."""
    return encode_padded(encoder, [token_ids(caption, encoder, {}) for caption in captions])


def share_right(logits: Tensor, wanted: Tensor) -> float:
    """Return how many of the most likely values are the wanted ones, as a share."""
    return float((logits.argmax(1) == wanted).float().mean())


def main() -> None:
    """Teach the text encoder from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, help="a folder of weights")
    parser.add_argument("new", type=Path, help="folder to write")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    encoder = load_text_encoder(options.weights / "text_encoder", Placement())
    teach(encoder, steps=options.steps, report=say)
    shutil.copytree(options.weights, options.new)
    path = options.new / "text_encoder" / "model.safetensors"
    save_file(stored(encoder.model), path, {"format": "pt"})


if __name__ == "__main__":
    main()
