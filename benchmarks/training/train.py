"""Training of nano: continues from the bundled weights, text encoder and transformer together.

    python -m benchmarks.training.latents POOL                # draw and encode scenes, once
    python -m benchmarks.training.train POOL RUN --steps 4000 # train; run again to resume
    python -m benchmarks.training.train --smoke  # a tiny run of all parts, in under a minute

`RUN/state.pt` is the checkpoint to resume from; `RUN/weights` is a folder that Rushes can load.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.training.batches import Batches
from benchmarks.training.latents import Shard, build_pool, load_pool
from benchmarks.training.objective import caption_gaps, velocity_loss
from benchmarks.training.rates import rate_share
from benchmarks.training.reporting import Report, say
from benchmarks.training.vocabulary import write as write_vocabulary
from inference.opensora.checkpoint import Placement, load_text_encoder, load_transformer, load_vae

_FASTEST_EMA = 0.999
_STATE = "state.pt"
_CLIP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Hyperparameters of a training."""

    steps: int = 4000
    tokens: int = 3360
    """Patches per batch."""
    image_share: float = 0.2
    """Share of batches with still images, which are cheap and teach outlines."""
    thing_weight: float = 4.0
    """Loss weight of latents that the thing covers, relative to others. It covers an eighth of a
    picture, and without weights places are learned long before outlines."""
    seed: int = 0
    matrix_rate: float = 1e-3
    """Learning rate of the transformer's matrices (Muon, scaled to steps like Adam's)."""
    other_rate: float = 3e-4
    """Learning rate of the transformer's embeddings, norms and tables (AdamW)."""
    text_rate: float = 2e-4
    """Learning rate of the text encoder (AdamW)."""
    warm_up: int = 20
    cool_down: float = 0.3
    """Share of the steps at the end over which rates decay to zero."""
    report_every: int = 10
    gaps_every: int = 100
    save_every: int = 50


class Trainer:
    """Training state: networks, optimisers, averaged weights and the stream of batches."""

    def __init__(
        self, recipe: Recipe, pool: list[Shard], weights: Path, placement: Placement
    ) -> None:
        self.recipe = recipe
        self.step = 0
        self._bf16 = placement.dtype is torch.bfloat16
        self._device = placement.device
        master = Placement(device=placement.device)  # weights stay fp32; bf16 is for autocast only
        self.model = load_transformer(weights / "transformer", master).requires_grad_()
        self.encoder = load_text_encoder(weights / "text_encoder", master)
        self.encoder.model.requires_grad_(requires_grad=True)
        self._random = torch.Generator().manual_seed(recipe.seed)
        self._batches = Batches(
            pool,
            self.encoder,
            tokens=recipe.tokens,
            image_share=recipe.image_share,
            thing_weight=recipe.thing_weight,
            random=self._random,
        )
        self._networks = nn.ModuleDict({"model": self.model, "text": self.encoder.model})
        self._average = [weight.detach().clone() for weight in self._networks.parameters()]
        self._optimisers = _optimisers(self.model, self.encoder.model, recipe)
        self._rates = [group["lr"] for one in self._optimisers for group in one.param_groups]

    def run(self) -> Iterator[float]:
        """Train up to the recipe's last step, yielding each step's loss."""
        while self.step < self.recipe.steps:
            yield self._one_step()

    def _one_step(self) -> float:
        groups = [group for one in self._optimisers for group in one.param_groups]
        recipe = self.recipe
        share = rate_share(
            self.step, recipe.steps, warm_up=recipe.warm_up, cool_down=recipe.cool_down
        )
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * share
        batch = self._batches.draw()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16), self._attention():
            loss = velocity_loss(self.model, self.encoder, batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        nn.utils.clip_grad_norm_(self._networks.parameters(), _CLIP)
        for optimiser in self._optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        keep = min(_FASTEST_EMA, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, list(self._networks.parameters()), 1 - keep)
        return float(loss.detach())

    def _attention(self) -> AbstractContextManager[None]:
        """Return the attention kernels: on a CPU plain ones, a fifth faster for so few tokens."""
        return sdpa_kernel(SDPBackend.MATH) if self._device == "cpu" else nullcontext()

    def state(self) -> dict[str, Any]:
        """Return the state to save, as tensors and numbers."""
        return {
            "step": self.step,
            "networks": self._networks.state_dict(),
            "average": self._average,
            "optimisers": [one.state_dict() for one in self._optimisers],
            "random": self._random.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state`; pool and recipe must be the same."""
        self.step = state["step"]
        self._networks.load_state_dict(state["networks"])
        self._average = [one.to(self._device) for one in state["average"]]
        for optimiser, stored in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self._random.set_state(state["random"].cpu())

    def gaps(self, pool: list[Shard]) -> dict[str, float]:
        """Measure the caption gaps of the averaged weights."""
        with _swapped(self._networks, self._average):
            return caption_gaps(self.model, self.encoder, pool)

    def export(self, weights: Path, folder: Path) -> None:
        """Write the averaged weights to a folder for `OpenSoraPipeline.load_nano`.

        Its vocabulary has the words of the current scenes, not those of the initial weights.

        Args:
            weights: Folder of the initial weights, whose configs, tokenizer and VAE are copied.
            folder: Target folder; replaced if it exists.
        """
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(weights, part)
        with _swapped(self._networks, self._average):
            for name, network in (
                ("transformer", self.model),
                ("text_encoder", self.encoder.model),
            ):
                path = part / name / "model.safetensors"
                save_file(stored(network), path, {"format": "pt"})
        write_vocabulary(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


class _swapped:  # noqa: N801 - used like a function
    """Context manager that swaps the averaged weights into the networks."""

    def __init__(self, networks: nn.Module, average: list[Tensor]) -> None:
        self._networks = networks
        self._average = average

    def _swap(self) -> None:
        with torch.no_grad():
            for weight, other in zip(self._networks.parameters(), self._average, strict=True):
                kept = weight.clone()
                weight.copy_(other)
                other.copy_(kept)

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()


def stored(network: nn.Module) -> dict[str, Tensor]:
    """Return a state dict for release: fp16, tied tensors once, rotary frequencies in fp32."""
    kept: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in network.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        exact = name == "rope.freqs"
        kept[name] = tensor.detach().to("cpu", torch.float32 if exact else torch.float16)
    return {name: tensor.contiguous() for name, tensor in kept.items()}


def _optimisers(model: nn.Module, text: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return the optimisers: Muon for the matrices of the blocks, AdamW for everything else."""
    matrices, others = list[nn.Parameter](), list[nn.Parameter]()
    for name, weight in model.named_parameters():
        in_block = "_blocks." in name and name.endswith(".weight")
        (matrices if in_block and weight.ndim == 2 else others).append(weight)
    muon = torch.optim.Muon(
        matrices, lr=recipe.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(
        [
            {"params": others, "lr": recipe.other_rate},
            {"params": list(text.parameters()), "lr": recipe.text_rate},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )
    return [muon, adam]


def train(
    trainer: Trainer, *, weights: Path, run: Path, judged: list[Shard], report: Report
) -> None:
    """Train to the end of the recipe, resuming from `run` and saving checkpoints there.

    Args:
        trainer: New trainer; a checkpoint in `run` replaces its state.
        weights: Folder of the initial weights.
        run: Folder of this training.
        judged: Held-out clips for the caption gaps; empty for none.
        report: Receives progress.
    """
    run.mkdir(parents=True, exist_ok=True)
    path = run / _STATE
    if path.exists():
        trainer.restore(torch.load(path, map_location="cpu", weights_only=True))
        report(f"going on at step {trainer.step}")
    recipe = trainer.recipe
    started, losses = time.monotonic(), list[float]()
    for loss in trainer.run():
        losses.append(loss)
        last = trainer.step == recipe.steps
        if trainer.step % recipe.report_every == 0 or last:
            seconds = (time.monotonic() - started) / len(losses)
            mean = sum(losses) / len(losses)
            report(f"step {trainer.step} loss {mean:.4f} {seconds:.2f} s/step")
            started, losses = time.monotonic(), []
        if judged and (trainer.step % recipe.gaps_every == 0 or last):
            gaps = trainer.gaps(judged)
            report("gaps % " + " ".join(f"{name} {100 * gap:.2f}" for name, gap in gaps.items()))
        if trainer.step % recipe.save_every == 0 or last:
            torch.save(trainer.state(), path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
            trainer.export(weights, run / "weights")


def smoke(weights: Path, report: Report) -> None:
    """Run all parts once, with too few steps to learn anything."""
    with tempfile.TemporaryDirectory() as folder:
        pool, run = Path(folder) / "pool", Path(folder) / "run"
        vae = load_vae(weights / "vae")
        for path in build_pool(vae, pool, seed=0, shards=3, clips=2):
            report(path.name)
        recipe = Recipe(steps=2, tokens=280, report_every=1, gaps_every=2, save_every=1)
        shards = load_pool(pool)
        trainer = Trainer(recipe, shards, weights, Placement())
        train(trainer, weights=weights, run=run, judged=_clips(shards)[:1], report=report)


def _clips(pool: list[Shard]) -> list[Shard]:
    """Return a pool without still images."""
    return [shard for shard in pool if shard.shape.frames > 1]


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pool", type=Path, nargs="?", help="made by benchmarks.training.latents")
    parser.add_argument("run", type=Path, nargs="?", help="folder of this training")
    parser.add_argument("--weights", type=Path, default=Path("inference/weights/nano"))
    parser.add_argument("--judge", type=Path, help="pool of held-out clips, for the caption gaps")
    parser.add_argument("--bf16", action="store_true", help="bf16 arithmetic")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--smoke", action="store_true", help="try everything, briefly")
    for name, value in asdict(Recipe()).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help=f"default {value}")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    if options.smoke:
        smoke(options.weights, say)
        return
    if options.pool is None or options.run is None:
        parser.error("POOL and RUN are needed")
    recipe = Recipe(**{name: getattr(options, name) for name in asdict(Recipe())})
    placement = Placement(
        device="cuda" if torch.cuda.is_available() else "cpu",
        dtype=torch.bfloat16 if options.bf16 else torch.float32,
    )
    trainer = Trainer(recipe, load_pool(options.pool), options.weights, placement)
    judged = _clips(load_pool(options.judge)) if options.judge else []
    train(trainer, weights=options.weights, run=options.run, judged=judged, report=say)


if __name__ == "__main__":
    main()
