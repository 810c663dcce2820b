"""Microbenchmarks of Open-Sora's operations: attention by width, large convolutions, FP8."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend

from inference.opensora.networks import convolution, fp8

WIDTHS = (72, 80, 96, 128)
"""Widths of an attention head: the model's, and widths that it could be padded to."""

_REPEATS = 5

Part = tuple[str, Callable[[], dict[str, Any]]]


def parts(device: torch.device, dtype: torch.dtype) -> Iterator[Part]:
    """Yield the name and function of each measurement."""
    for width in WIDTHS:
        yield f"attention of width {width}", lambda width=width: attention(device, dtype, width)
    yield "convolution beyond 2^31 elements", lambda: large_convolution(device, dtype)
    if fp8.is_supported(device):
        yield "product in FP8", lambda: product(device)


def attention(device: torch.device, dtype: torch.dtype, width: int) -> dict[str, Any]:
    """Time attention within the frames of a clip, with heads zero-padded to a width."""
    large = device.type == "cuda"
    frames, tokens = (50, 3600) if large else (2, 128)
    query, key, value = torch.randn(3, frames, 16, tokens, WIDTHS[0], device=device, dtype=dtype)

    def run() -> Tensor:
        padded = (functional.pad(x, (0, width - WIDTHS[0])) for x in (query, key, value))
        found = functional.scaled_dot_product_attention(*padded, scale=WIDTHS[0] ** -0.5)
        return found[..., : WIDTHS[0]]

    padded = functional.pad(query, (0, width - WIDTHS[0]))
    return {"seconds": seconds(run, device), "backend": backend(padded)}


def backend(query: Tensor) -> str:
    """Return the name of the kernel that torch chooses for self-attention."""
    chosen = torch._fused_sdp_choice(query, query, query)  # noqa: SLF001 - no public function
    return next(name for name, one in SDPBackend.__members__.items() if int(one) == chosen)


def large_convolution(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Compare a convolution of a 720p chunk with fp32, at its last frames."""
    large = device.type == "cuda"
    channels, frames, height, width = (128, 20, 720, 1280) if large else (8, 6, 16, 24)
    conv = nn.Conv3d(channels, channels, 3, padding=(0, 1, 1), device=device, dtype=dtype)
    conv.requires_grad_(requires_grad=False)
    x = torch.randn(1, channels, frames, height, width, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    exact = functional.conv3d(x[:, :, -3:].float(), conv.weight.float(), padding=(0, 1, 1))
    exact = exact + conv.bias.float()[:, None, None, None]  # type: ignore[union-attr]  # it has one

    def error(found: Tensor) -> float:
        return float((found[:, :, -1:].float() - exact).norm() / exact.norm())

    return {
        "seconds": seconds(lambda: convolution.convolve(conv, x), device),
        "in one piece": seconds(lambda: conv(x), device),
        "error": error(convolution.convolve(conv, x)),
        "error in one piece": error(conv(x)),
        "elements": x.numel(),
    }


def product(device: torch.device) -> dict[str, Any]:
    """Compare a layer of the transformer in FP8 with the same in bf16."""
    layer = fp8.FP8Linear(1152, 4608, device=device, dtype=torch.bfloat16)
    layer.requires_grad_(requires_grad=False)
    x = torch.randn(180_000, 1152, device=device, dtype=torch.bfloat16)
    plain, before = layer(x), seconds(lambda: layer(x), device)
    fp8.use_fp8(layer, on=True)
    found, after = layer(x), seconds(lambda: layer(x), device)
    error = float((found.float() - plain.float()).norm() / plain.float().norm())
    return {"seconds": after, "in bf16": before, "error": error}


@torch.inference_mode()
def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of several runs after a warm-up."""
    took = []
    for _ in range(_REPEATS + 1):
        settle(device)
        begun = time.perf_counter()
        run()
        settle(device)
        took.append(time.perf_counter() - begun)
    return median(took[1:])


def settle(device: torch.device) -> None:
    """Synchronise with the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
