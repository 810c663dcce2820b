"""Training of nano's VAE on drawn scenes: first the encoder, then the decoder.

    python -m benchmarks.training.train_vae VAE OUT --encoder 1000   # new latents
    python -m benchmarks.training.train_vae OUT OUT2 --decoder 2000  # the decoder alone

A new encoder changes the meaning of latents: transformer and preview map must be trained after it.
The decoder can be trained further at any time.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.training.rates import rate_share
from benchmarks.training.reader import LinearReader, arrange
from benchmarks.training.reporting import Report, say
from benchmarks.training.world.captions import draw_scene
from benchmarks.training.world.scenes import WIDE, render
from inference.opensora.checkpoint import load_vae
from inference.opensora.config import VaeConfig
from inference.opensora.geometry import CHUNK_FRAMES, NANO_SIZES
from inference.opensora.networks.vae import VideoVae

_RATES = (8, 12, 24, 24, 24)
_SHORT = 5
"""Frames of the shorter clips: two latent frames."""

_SHORT_SHARE = 0.7
_ENCODER_RATE = 4e-4
_DECODER_RATE = 2e-4
_rate_share = partial(rate_share, warm_up=20, cool_down=0.6)
_LATENT_NOISE = 0.03
_CLIP = 1.0
_SAVE_EVERY = 100
_PROGRESS = "decoder_steps.txt"
"""Name of the file with the number of completed decoder steps, from which training resumes."""


def clips(random: np.random.Generator, *, frames: int, count: int) -> Iterator[Tensor]:
    """Yield endless batches of drawn scenes: pixels in -1..1, [count, 3, frames, height, width].

    Clips shorter than a chunk are excerpts of one.
    """
    sizes = [WIDE] * 6 + [size for size in NANO_SIZES.values() if size != WIDE]
    while True:
        size, drawn = sizes[random.integers(len(sizes))], []
        for _ in range(count):
            whole = render(draw_scene(random), size, CHUNK_FRAMES, float(random.choice(_RATES)))
            start = int(random.integers(CHUNK_FRAMES - frames + 1))
            drawn.append(torch.from_numpy(whole[start : start + frames]).permute(3, 0, 1, 2))
        yield torch.stack(drawn).float() / 127.5 - 1


def decibels(error: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB for an error of pixels in -1..1."""
    return -10 * math.log10(float(error.square().mean()) / 4 + 1e-10)


def quality(vae: VideoVae, *, count: int = 24) -> float:
    """Return the mean PSNR in dB of reconstructed clips of one chunk."""
    drawn = islice(clips(np.random.default_rng(99), frames=CHUNK_FRAMES, count=1), count)
    with torch.inference_mode():
        found = [decibels(vae.decode(vae.encode(clip)).clamp(-1, 1) - clip) for clip in drawn]
    return float(np.mean(found))


def fit_encoder(
    vae: VideoVae, *, steps: int, seed: int, report: Report, examples: int = 20
) -> VaeConfig:
    """Train the encoder in place, with a linear reader, and arrange its latents.

    Args:
        vae: The VAE, whose decoder no longer fits afterwards.
        steps: Number of steps, of three clips each.
        seed: Seed of the clips.
        report: Receives progress.
        examples: Batches to fit the initial reader and to arrange the latents.

    Returns:
        The configuration for the new encoder.
    """
    random = np.random.default_rng(seed)
    channels = vae.config.decoder.latent_channels
    reader = LinearReader(channels)
    stream = clips(random, frames=CHUNK_FRAMES, count=3)
    with torch.no_grad():
        reader.solve((vae.encoder(clip)[:, :channels], clip) for clip in islice(stream, examples))
    vae.encoder.requires_grad_()
    parameters = [*vae.encoder.parameters(), *reader.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_ENCODER_RATE, betas=(0.9, 0.97), weight_decay=0)
    for step, clip in enumerate(islice(stream, steps)):
        optimiser.param_groups[0]["lr"] = _ENCODER_RATE * _rate_share(step, steps)
        latents = vae.encoder(clip)[:, :channels]
        spread = latents.detach().std((0, 2, 3, 4), keepdim=True)
        error = reader(latents + _LATENT_NOISE * spread * torch.randn_like(latents)) - clip
        loss = 0.8 * error[:, :, 1:].square().mean() + 0.2 * error[:, :, :1].square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 50 == 0:
            report(f"encoder {step + 1}: read with {decibels(error.detach()):.1f} dB")
    vae.encoder.requires_grad_(requires_grad=False)
    return arrange(vae, reader, islice(stream, examples))


def fit_decoder(
    vae: VideoVae, *, steps: int, seed: int, report: Report, sharpness: float = 0.05, done: int = 0
) -> Iterator[int]:
    """Train the decoder in place to reconstruct clips; yields the number of each step.

    Args:
        vae: The VAE, whose encoder is not changed.
        steps: Steps of the whole training.
        seed: Seed of the clips.
        report: Receives progress.
        sharpness: Loss weight of the picture's gradients, relative to the picture.
        done: Completed steps, from which the schedule resumes.
    """
    random = np.random.default_rng((seed, done))
    decoder = vae.decoder.requires_grad_()
    for weight in decoder.parameters():
        weight.data = weight.data.contiguous()  # the optimiser reshapes kernels to matrices
    kernels = [weight for weight in decoder.parameters() if weight.ndim > 1]
    others = [weight for weight in decoder.parameters() if weight.ndim == 1]
    matrices = [nn.Parameter(kernel.data.flatten(1)) for kernel in kernels]
    muon = torch.optim.Muon(
        matrices, lr=_DECODER_RATE, weight_decay=0, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(others, lr=_DECODER_RATE, betas=(0.9, 0.97), weight_decay=0)
    optimisers: tuple[torch.optim.Optimizer, ...] = (muon, adam)
    short = clips(random, frames=_SHORT, count=2)
    whole = clips(random, frames=CHUNK_FRAMES, count=1)
    channels = vae.config.decoder.latent_channels
    for step in range(done, steps):
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = _DECODER_RATE * _rate_share(step, steps)
        clip = next(short if random.random() < _SHORT_SHARE else whole)
        with torch.no_grad():
            latents = vae.encoder(clip)[:, :channels]
        latents = latents + _LATENT_NOISE * torch.randn_like(latents)
        with torch.autocast(clip.device.type, torch.bfloat16):
            drawn = decoder(latents)
        error = drawn.float() - clip
        _picture_loss(error, sharpness).backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        for kernel, matrix in zip(kernels, matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        nn.utils.clip_grad_norm_(others, _CLIP)
        for optimiser in optimisers:
            optimiser.step()
        decoder.zero_grad()
        if (step + 1) % 50 == 0:
            report(f"decoder {step + 1}: {decibels(error.detach()):.1f} dB")
        yield step + 1
    decoder.requires_grad_(requires_grad=False)


def save(vae: VideoVae, source: Path, folder: Path) -> None:
    """Write a VAE to a folder, with the other files of the source; both may be the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.loads((source / "config.json").read_text())
    data["normalization"] = {"mean": list(vae.config.latent_mean)}
    data["normalization"]["std"] = list(vae.config.latent_std)
    (folder / "config.json").write_text(json.dumps(data, indent=1) + "\n")
    part = folder / "model.part"
    tensors = {name: tensor.contiguous() for name, tensor in vae.state_dict().items()}
    save_file(tensors, part, {"format": "pt"})
    shutil.move(part, folder / "model.safetensors")


def _done(folder: Path) -> int:
    progress = folder / _PROGRESS
    return int(progress.read_text()) if progress.exists() else 0


def _picture_loss(error: Tensor, sharpness: float) -> Tensor:
    """Return the loss: squared and a little absolute error, of pixels and of their gradients."""
    time = error[:, :, 1:] - error[:, :, :-1]
    slopes = error.diff(dim=-1).square().mean() + error.diff(dim=-2).square().mean()
    loss: Tensor = (
        error.square().mean()
        + 0.15 * error.abs().mean()
        + 0.3 * time.square().mean()
        + sharpness * slopes
    )
    return loss


def main() -> None:
    """Fit from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("vae", type=Path, help="folder to start from")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--encoder", type=int, default=0, metavar="STEPS")
    parser.add_argument("--decoder", type=int, default=0, metavar="STEPS")
    parser.add_argument("--sharpness", type=float, default=0.05, help="share of slopes in the loss")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of the CPU")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    done = _done(options.out)
    if done and options.encoder:
        parser.error(f"{options.out} has a decoder under way: no new encoder there")
    if done:
        say(f"going on at decoder step {done}")
    vae = load_vae(options.out if done else options.vae)
    torch.manual_seed(options.seed)
    if options.encoder:
        vae.config = fit_encoder(vae, steps=options.encoder, seed=options.seed, report=say)
        save(vae, options.vae, options.out)
    stage = fit_decoder(
        vae,
        steps=options.decoder,
        seed=options.seed,
        report=say,
        sharpness=options.sharpness,
        done=done,
    )
    for step in stage:
        if step % _SAVE_EVERY == 0 or step == options.decoder:
            save(vae, options.vae, options.out)
            (options.out / _PROGRESS).write_text(str(step))
    say(f"through the VAE and back: {quality(vae):.1f} dB")


if __name__ == "__main__":
    main()
