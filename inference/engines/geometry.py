"""Sizes and lengths of finished files, as the product offers them. No torch."""

from __future__ import annotations

from inference.domain.capabilities import Lengths
from inference.domain.spec import Aspect, Resolution, Size
from inference.opensora.geometry import decoded_size, official_size


def _size(resolution: Resolution, aspect: Aspect) -> Size:
    decoded = decoded_size(official_size(resolution, aspect))
    return Size(width=decoded.width, height=decoded.height)


SIZES = {
    (resolution, aspect): _size(resolution, aspect)
    for resolution in (Resolution.P360, Resolution.P720)
    for aspect in Aspect
}
"""Pixel size by resolution and aspect (width:height): what Open-Sora v1.3 decodes to."""

LENGTHS = Lengths.rule(offset=1, step=16, shortest=49, longest=113)
"""Legal lengths of one pass."""
