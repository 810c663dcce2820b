"""Sizes and lengths of finished files, as the product offers them. No torch."""

from __future__ import annotations

from inference.domain.spec import Aspect, Resolution, Size
from inference.opensora.geometry import decoded_size, official_size


def _size(resolution: Resolution, aspect: Aspect) -> Size:
    decoded = decoded_size(official_size(resolution, aspect))
    return Size(width=decoded.width, height=decoded.height)


SIZES = {
    (resolution, aspect): _size(resolution, aspect)
    for resolution in Resolution
    for aspect in Aspect
}
"""Pixel size by resolution and aspect (width:height): what Open-Sora v1.3 decodes to."""

FRAMES = (1, 49, 65, 81, 97, 113)
"""Legal lengths of one pass: 1 for an image, else 16n + 1."""
