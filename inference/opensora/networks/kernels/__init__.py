"""Triton kernels: what `fused` and `normalisation` define, each in one pass over memory.

None of them is compiled for a size: sizes are arguments, only the width of a model and the number
of its heads decide over a kernel's code. Values may be bf16; all arithmetic is fp32.
"""

from inference.opensora.networks.kernels.clips import scaled, statistics
from inference.opensora.networks.kernels.tokens import add_gated, add_norm_modulate, norm_rotate

__all__ = ["add_gated", "add_norm_modulate", "norm_rotate", "scaled", "statistics"]
