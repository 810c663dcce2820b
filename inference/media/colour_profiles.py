"""Colour profiles of pictures: embedded ones, and those that a file names by a code (CICP).

HEIF and AVIF name their primaries and their tone curve in an `nclx` record, PNG in a `cICP` chunk
(both as ITU-T H.273 numbers them). Phones write Display P3 so, often without an embedded profile.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from PIL import ImageCms

if TYPE_CHECKING:
    from PIL import Image

Colours = tuple[tuple[float, float, float], ...]

PRIMARIES: dict[int, Colours] = {
    # SMPTE EG 432-1, with the white of daylight: Display P3.
    12: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    # ITU-R BT.2020.
    9: ((0.67348, 0.27904, -0.00194), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686)),
}
"""Red, green and blue as XYZ for the white D50, by their number. All others count as sRGB."""

SRGB = 1
"""Number of the primaries of sRGB."""

CURVES = frozenset({1, 2, 6, 13, 14, 15})
"""Numbers of tone curves that are shown like that of sRGB; PQ and HLG (HDR) are not."""

HEADER_BYTES = 2**20
"""Of a file, in which the record is looked for."""

_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ")
_PNG_SIGNATURE_BYTES = 8
_CICP_BYTES = 4
_BOXES = (b"meta", b"iprp", b"ipco", b"colr")
"""Path to the records of an AVIF file."""


def profile_of(image: Image.Image, file: BinaryIO) -> bytes | None:
    """Return the ICC profile for the colours of a picture, or None where they are sRGB.

    Args:
        image: The picture, opened from `file`.
        file: Read from its beginning.
    """
    embedded: bytes | None = image.info.get("icc_profile")
    if image.format == "PNG":  # where both are there, a code that is known counts
        code = _png_code(_beginning(file))
        known = code is not None and code[0] in {SRGB, *PRIMARIES} and code[1] in CURVES
        return _profile_of_code(code) if known else embedded
    if embedded:
        return embedded
    if image.format == "AVIF":
        return _profile_of_code(_avif_code(_beginning(file)))
    record = image.info.get("nclx_profile") or {}
    return _profile_of_code((record.get("color_primaries"), record.get("transfer_characteristics")))


def _profile_of_code(code: tuple[int | None, int | None] | None) -> bytes | None:
    """Return the profile that a code of primaries and tone curve stands for."""
    if code is None or code[0] not in PRIMARIES or code[1] not in CURVES:
        return None
    return _profile(PRIMARIES[code[0]])


@functools.cache
def _profile(primaries: Colours) -> bytes:
    """Return the profile of sRGB with other primaries."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colours = dict(zip(_TAGS, primaries, strict=True))
    for index in range(int.from_bytes(profile[128:132])):
        entry = 132 + index * 12
        if colour := colours.get(bytes(profile[entry : entry + 4])):
            offset = int.from_bytes(profile[entry + 4 : entry + 8]) + 8
            values = [round(value * 65536).to_bytes(4, signed=True) for value in colour]
            profile[offset : offset + 12] = b"".join(values)
    return bytes(profile)


def _beginning(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(HEADER_BYTES)


def _png_code(data: bytes) -> tuple[int, int] | None:
    at = _PNG_SIGNATURE_BYTES
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"IDAT":
            return None
        found = data[at + 8 : at + 8 + length]
        if kind == b"cICP" and len(found) == _CICP_BYTES:
            return found[0], found[1]
        at += 12 + length
    return None


def _avif_code(data: bytes) -> tuple[int, int] | None:
    """Return the code of the first record; a picture has one, its alpha plane none."""
    inside = [data]
    for kind in _BOXES:
        inside = [found for box in inside for found in _boxes(box, kind)]
    for record in inside:
        if record[:4] == b"nclx" and len(record) >= 8:  # noqa: PLR2004 - name and two numbers
            return int.from_bytes(record[4:6]), int.from_bytes(record[6:8])
    return None


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """Yield the contents of all boxes of a kind at the top of `data`."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        start = at + (16 if size == 1 else 8)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        end = at + size if size else len(data)
        if end < start:
            return
        if kind == wanted:  # `meta` has a version in front
            yield data[start + (4 if kind == b"meta" else 0) : end]
        at = end
