"""Sizes and lengths of clips that Open-Sora models offer. No torch."""

from __future__ import annotations

from inference.domain.capabilities import Lengths
from inference.domain.spec import Aspect, Resolution, Size
from inference.opensora.geometry import compute_decoded_size, official_size


def _size(resolution: Resolution, aspect: Aspect) -> Size:
    decoded = compute_decoded_size(official_size(resolution, aspect))
    return Size(width=decoded.width, height=decoded.height)


SIZES = {
    (resolution, aspect): _size(resolution, aspect)
    for resolution in (Resolution.P360, Resolution.P720)
    for aspect in Aspect
}
"""Sizes of decoded frames of Open-Sora v1.3, by resolution and aspect (width:height)."""

LENGTHS = Lengths.rule(offset=1, step=16, shortest=49, longest=113)
"""Legal lengths of one pass, in frames."""
