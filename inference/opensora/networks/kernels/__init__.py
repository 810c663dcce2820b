"""Triton kernels for the functions of `fused` and `normalisation`, each in one pass over memory.

Kernels are compiled for a model's width and number of heads, not for clip sizes, which are
arguments. Values may be bf16; all arithmetic is fp32.
"""

from inference.opensora.networks.kernels.clips import scale_and_shift, statistics
from inference.opensora.networks.kernels.tokens import add_gated, add_norm_modulate, norm_rotate

__all__ = ["add_gated", "add_norm_modulate", "norm_rotate", "scale_and_shift", "statistics"]
