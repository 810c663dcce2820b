"""Decoded pixels: conversion to uint8 in slices, and streaming of Wan's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan
from torch import Tensor

from inference.device_errors import not_finite
from inference.diffusers_pipelines.kept_clip import Pass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

SLICE_FRAMES = 16
"""Frames converted to uint8 at a time; 121 frames of 720p in float32 would take 1.3 GB."""

OnFrames = Callable[["npt.NDArray[np.uint8]"], None]
"""Receives finished frames: uint8 [frames, height, width, 3]; may raise."""


def slices(video: Tensor) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield decoded pixels [1, 3, frames, height, width] in -1..1 as uint8, in slices of frames.

    Raises:
        EngineError: `worker.not_finite`.
    """
    for start in range(0, video.shape[2], SLICE_FRAMES):
        yield to_uint8(video[0, :, start : start + SLICE_FRAMES])


def to_uint8(piece: Tensor) -> npt.NDArray[np.uint8]:
    """Convert pixels [3, frames, height, width] in -1..1 to uint8 [frames, height, width, 3].

    Raises:
        EngineError: `worker.not_finite`.
    """
    values = piece.permute(1, 2, 3, 0).float()
    if not values.isfinite().all():
        raise not_finite("frames")
    scaled = values.mul(127.5).add_(127.5).round_().clamp_(0, 255)
    frames: npt.NDArray[np.uint8] = scaled.to(torch.uint8).cpu().numpy()
    return frames


@contextmanager
def intercept_decoder(
    vae: Any,
    *,
    streams: bool,
    on_frames: OnFrames,
    before: Callable[[], None],
    after: Callable[[Pass], None] = lambda _pass: None,
) -> Iterator[None]:
    """Intercept decoded frames; the pipeline gets one frame, so that it cannot copy all of them.

    Args:
        vae: The network with `decode`.
        streams: Whether it decodes one latent frame at a time, each final.
        on_frames: Receives the frames.
        before: Called before each decoder call; may raise.
        after: Called after each decoder call with its inputs.
    """
    decode = vae.decode

    def decode_in_steps(latents: Tensor, *args: Any, **options: Any) -> Any:
        if not latents.isfinite().all():
            raise not_finite("latents")
        before()
        with _streamed_frames(vae, on_frames) if streams else _no_streamed_frames() as came:
            result = decode(latents, *args, **options)
        video = result[0] if isinstance(result, tuple) else result.sample
        if not came:
            for frames in slices(video):
                on_frames(frames)
        timestep = next(
            (one for one in (*args, *options.values()) if isinstance(one, Tensor)), None
        )
        after(
            Pass(
                latents=_kept(latents),
                timestep=None if timestep is None else _kept(timestep),
                frames=video.shape[2],
            )
        )
        first = video[:, :, :1]
        return (first,) if isinstance(result, tuple) else type(result)(sample=first)

    vae.decode = decode_in_steps
    try:
        yield
    finally:
        del vae.decode


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


@contextmanager
def _streamed_frames(vae: Any, on_frames: OnFrames) -> Iterator[list[int]]:
    """Pass on each output of a Wan VAE's decoder; yields a list with their numbers of frames."""
    unpatchify: Callable[[Tensor, int], Tensor] = autoencoder_kl_wan.unpatchify
    came: list[int] = []
    size = vae.config.patch_size

    def take(_module: nn.Module, _args: Any, out: Tensor) -> None:
        pixels = out if size is None else unpatchify(out, size)
        frames = to_uint8(pixels[0])
        came.append(len(frames))
        on_frames(frames)

    hook = vae.decoder.register_forward_hook(take)
    try:
        yield came
    finally:
        hook.remove()


@contextmanager
def _no_streamed_frames() -> Iterator[list[int]]:
    yield []
