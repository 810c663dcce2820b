"""Intake of untrusted reference images: checks, decodes and re-encodes them as clean PNG.

Runs in the sandboxed media process.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pi_heif
from PIL import AvifImagePlugin, ExifTags, Image, ImageCms

from inference.domain.errors import UserError
from inference.media.atomic_files import write_bytes
from inference.media.colour_profiles import profile_of
from inference.media.results import CleanImage, ImageLimits

if TYPE_CHECKING:
    from pathlib import Path

# One thread: each one reserves memory that counts against the process's limit.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "HEIF", "AVIF")
_NAMES = {"MPO": "jpeg"}
"""Pillow's format names that differ from ours: MPO is a JPEG with more pictures, from phones."""
_SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff.{9}|GIF8[79]a|RIFF.{4}WEBP"
    rb"|.{4}ftyp(?:avi[fs]|hei[cxms]|hev[cx]|mif[12]|msf1)",
    re.DOTALL,
)
"""First bytes of supported formats; such a file that Pillow cannot read is damaged."""
_SIGNATURE_BYTES = 12
_PROFILED_MODES = frozenset({"RGB", "CMYK", "L"})
"""Pixel modes for which colour profiles are applied."""
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition for each EXIF orientation."""
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, RuntimeError),
    *(struct.error, zlib.error),
)
"""Exceptions of Pillow's readers for damaged files."""


def clean_image(source: Path, target: Path, limits: ImageLimits) -> CleanImage:
    """Write the picture in `source` to `target` as a PNG with RGB pixels and no metadata.

    Of an animation, the first frame is taken. Orientation is applied, colours are converted to
    sRGB, and transparency becomes white.

    Raises:
        UserError: `image.too_large`, `image.not_an_image`, `image.too_many_pixels`,
            `image.too_small` or `image.truncated`.
        EngineError: `disk.full`.
    """
    if source.stat().st_size > limits.file_bytes:
        raise UserError("image.too_large", limit_mb=limits.file_bytes // 2**20)
    with source.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _read_header(file, limits)
        name = _NAMES.get(image.format or "", (image.format or "").lower())
        _check_size(image, limits)
        try:
            image.draft(None, (limits.max_side, limits.max_side))
            image.load()
        except _DAMAGE as error:
            raise UserError("image.truncated") from error
        clean = _plain_rgb(image, profile_of(image, file))
    clean.thumbnail((limits.max_side, limits.max_side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    clean.save(data, "PNG", compress_level=3)
    write_bytes(target, data.getvalue())
    return CleanImage(width=clean.width, height=clean.height, format=name)


def _read_header(file: BinaryIO, limits: ImageLimits) -> Image.Image:
    try:
        return Image.open(file, formats=_FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError("image.too_many_pixels", limit_megapixels=limits.pixels // 10**6) from error
    except _DAMAGE as error:
        file.seek(0)
        known = _SIGNATURE.match(file.read(_SIGNATURE_BYTES))
        raise UserError("image.truncated" if known else "image.not_an_image") from error


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    if image.width * image.height > limits.pixels:
        raise UserError("image.too_many_pixels", limit_megapixels=limits.pixels // 10**6)
    shorter, longer = sorted(image.size)
    if shorter * min(1, limits.max_side / longer) < limits.min_side:
        raise UserError("image.too_small", min_side=limits.min_side)


def _plain_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return upright, opaque sRGB pixels without metadata."""
    upright = _upright(image)
    if upright.mode.startswith("I;16"):
        # Pillow's conversion of 16-bit pixels clips instead of scaling: nearly all becomes white.
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        opaque = Image.new("RGB", rgba.size, "white")
        opaque.paste(rgba, mask=rgba)
    else:
        opaque = upright if upright.mode in _PROFILED_MODES else upright.convert("RGB")
    plain = _to_srgb(opaque, profile)
    plain.info = {}
    return plain


def _upright(image: Image.Image) -> Image.Image:
    # Not `ImageOps.exif_transpose`, which rewrites all tags and fails on damaged ones.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB with the profile of a file; without it, photos from phones look pale."""
    if not profile:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # The profile is damaged, or for another pixel mode.
        converted = None
    return image.convert("RGB") if converted is None else converted
