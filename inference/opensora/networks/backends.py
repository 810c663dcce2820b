"""Kernel selection for a GPU, made and logged when weights are loaded.

An old library disables fast attention, and a missing C compiler the Triton kernels. Clips are then
correct, but take minutes longer, so the choice must be in the log.
"""

from __future__ import annotations

from importlib.util import find_spec

import structlog
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

from inference.domain.errors import EngineError
from inference.opensora.config import TransformerConfig
from inference.opensora.networks import switch
from inference.opensora.networks.embeddings import RotaryFrequencies
from inference.opensora.networks.fused import add_gated, add_norm_modulate, norm_rotate
from inference.opensora.networks.normalisation import norm_activate_pad, norm_skip
from inference.opensora.networks.regions import window_by_window
from inference.opensora.networks.tokens import Tokens

_log = structlog.get_logger(__name__)

_HOPPER = (9, 0)
"""Compute capability from which torch prefers cuDNN's attention, the fastest there."""

_ROUNDING = 2**-4
"""Largest allowed difference of bf16 results, for values around 1."""


def choose_kernels(device: torch.device, config: TransformerConfig) -> None:
    """Switch to Triton kernels if they agree with their definitions, and log the choice."""
    switch.use_kernels(on=False)
    reason = _missing()
    if reason is None:
        try:
            reason = _difference(device, config)
        except Exception as error:  # noqa: BLE001 - compilers fail in many ways; plain torch works
            torch.cuda.synchronize(device)  # raises if the device itself is broken
            reason = f"the kernels failed with {type(error).__name__}"
    if reason is None:
        switch.use_kernels(on=True)
        _log.info("fused.kernels", used="triton")
    else:
        switch.use_kernels(on=False)
        _log.warning("fused.kernels", used="torch", reason=reason)


def require_fused_attention(device: torch.device, config: TransformerConfig) -> None:
    """Check that torch has a fused attention kernel for the transformer's heads, and log it.

    Raises:
        EngineError: `gpu.no_fused_attention`: torch would build whole score matrices.
    """
    if torch.version.cuda is None:
        return
    shape = (1, 128, 3, config.num_heads, config.head_channels)
    packed = torch.zeros(shape, device=device, dtype=torch.bfloat16)
    query, key, value = (part.transpose(1, 2) for part in packed.unbind(2))
    chosen = SDPBackend(torch._fused_sdp_choice(query, key, value))  # noqa: SLF001 - the only name it has
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    _log.info(
        "attention.backend",
        backend=chosen.name.lower(),
        head_channels=config.head_channels,
        cudnn=cudnn,
    )
    if chosen == SDPBackend.MATH:
        raise EngineError("gpu.no_fused_attention")
    hopper = torch.cuda.get_device_capability(device) >= _HOPPER
    if hopper and chosen != SDPBackend.CUDNN_ATTENTION:
        _log.warning("attention.slow_backend", backend=chosen.name.lower(), cudnn=cudnn)


def _missing() -> str | None:
    if torch.version.cuda is None:
        return "torch was built without CUDA"
    return "Triton is not installed" if find_spec("triton") is None else None


@torch.inference_mode()
def _difference(device: torch.device, config: TransformerConfig) -> str | None:
    """Compare all kernels with their definitions at the model's widths; None if they agree."""
    plain = _samples(device, config)
    switch.use_kernels(on=True)
    for name, found in _samples(device, config).items():
        apart = (found.float() - plain[name].float()).abs().max().item()
        if not apart <= _ROUNDING:
            return f"{name} is {apart:.3g} away from its definition"
    return None


def _samples(device: torch.device, config: TransformerConfig) -> dict[str, Tensor]:
    """Return the output of every function that has a kernel, for fixed small tensors."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        values = torch.rand(shape, generator=generator) - 0.5
        return values.to(device, torch.bfloat16)

    grid, channels = (1, 2, 9, 10), config.hidden_size
    regions = window_by_window(*grid[1:])
    tokens = Tokens(draw(*grid, channels), draw(*grid, channels), draw(1, 1, 1, 1, channels))
    shift, scale = draw(2, 1, 1, 1, 1, channels)
    normed = add_norm_modulate(tokens, shift, scale, regions)

    width = config.head_channels
    places = [torch.arange(float(side), device=device) for side in (2, 8, 8)]
    rope = RotaryFrequencies(width).to(device).table(*places)
    qkv = draw(len(normed), 3, config.num_heads, width)
    query, key, _ = norm_rotate(qkv, (draw(width), draw(width)), rope, regions)

    parts = [draw(region.height * region.width * grid[1], channels) for region in regions]
    add_gated(tokens, shift, parts, regions)

    norm = nn.GroupNorm(32, 96).to(device, torch.bfloat16)
    clip, other = (
        draw(1, 96, 3, 9, 10).contiguous(memory_format=torch.channels_last_3d) for _ in range(2)
    )
    return {
        "add_norm_modulate": normed,
        "norm_rotate": torch.stack((query, key)),
        "add_gated": tokens.x,
        "norm_activate_pad": norm_activate_pad(clip, norm, 2),
        "norm_skip": norm_skip(clip, norm, other),
    }
