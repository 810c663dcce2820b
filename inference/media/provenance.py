"""Provenance metadata of files: the recipe as JSON in a comment, and the AI mark as XMP.

The mark is IPTC's `digitalSourceType`:
https://iptc.org/std/photometadata/specification/IPTC-PhotoMetadata#digital-source-type. The place
of XMP in JPEG, PNG and mp4 is in the XMP Specification, Part 3, 1.1.3, 1.1.5 and 2.1.1.
"""

from __future__ import annotations

import contextlib
import json
import re
import stat
import struct
from typing import TYPE_CHECKING, Any

import av
from PIL import Image

from inference.domain.errors import UserError
from inference.media.video_file import open_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMENT = "comment"
"""Name of the mp4 tag and of the PNG text chunk."""
AI_MADE = "trainedAlgorithmicMedia"
"""Source type of content made by a trained model, in IPTC's vocabulary."""

PNG_XMP = "XML:com.adobe.xmp"
"""Name of the PNG text chunk with XMP."""

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType(?:[^<>]{0,200}?[>\"'=]\s*"
    + _VOCABULARY.replace("http:", "https?:").encode()
    + rb"|\s*[>=]\s*[\"']?\s*(?:digsrctype:)?)(\w{1,64})\s*[\"'<]"
)
_MP4_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Type of the mp4 box with XMP."""

_MOST_XMP = 1 << 20
_MOST_BOXES = 1000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_UNREADABLE = (OSError, SyntaxError, ValueError, av.FFmpegError, Image.DecompressionBombError)


def recipe_comment(recipe: dict[str, Any]) -> str:
    """Return the recipe as one line of ASCII JSON, independent of containers' text encodings.

    Raises:
        TypeError: A value is not JSON.
        ValueError: A number is not finite.
    """
    return json.dumps(recipe, allow_nan=False, separators=(",", ":"))


def xmp() -> bytes:
    """Return the AI mark as XMP, kept short because even the smallest copies have it."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{_VOCABULARY}{AI_MADE}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def mark_mp4(path: Path) -> None:
    """Append the AI mark to a finished mp4, as its last box."""
    packet = xmp()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s16s", 24 + len(packet), b"uuid", _MP4_XMP) + packet)


def read_source_type(path: Path) -> str | None:
    """Return the IPTC source type in a file, such as `trainedAlgorithmicMedia`, or None.

    The file is untrusted; its format is detected from its content.

    Raises:
        UserError: `file.*`: it is missing, unreadable, or not a clip or picture.
    """
    with _errors_for_users(path):
        packet = _mp4_xmp(path) if _head(path)[4:8] == b"ftyp" else _picture_xmp(path)
    found = _SOURCE_TYPE.search(packet)
    return None if found is None else found[1].decode()


def is_whole(path: Path) -> bool:
    """Return whether a picture can be read in full, and a clip has its end.

    The frames inside a clip have no checksum, so that damage in its middle is not noticed.

    Raises:
        UserError: `file.*`: it is missing, unreadable, or not a clip or picture.
    """
    with _errors_for_users(path):
        if _head(path)[4:8] == b"ftyp":
            return _mp4_end(path) <= path.stat().st_size
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            try:
                image.load()
            except (OSError, SyntaxError):
                return False
            return image.format != "PNG" or _PNG_END in _tail(path)  # Pillow reads on without it


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _MOST_XMP, 0))
        return file.read()


def _mp4_end(path: Path) -> int:
    """Return where the last top-level box of an mp4 ends, as it says itself."""
    size = path.stat().st_size
    place = 0
    with path.open("rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(place)
            header = file.read(16)
            if place >= size or len(header) < 8:  # noqa: PLR2004 - length and type
                return place if place >= size else size + 1
            length = struct.unpack_from(">I", header)[0]
            if length == 1 and len(header) == 16:  # noqa: PLR2004 - the length follows
                length = struct.unpack_from(">Q", header, 8)[0]
            if length < 8:  # noqa: PLR2004 - 0 is to the end of the file
                return size
            place += length
    return size


@contextlib.contextmanager
def _errors_for_users(path: Path) -> Iterator[None]:
    """Context manager that converts errors of an untrusted file to a `UserError`."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError("file.not_found", path=str(path)) from error
    except OSError as error:
        raise UserError("file.unreadable", path=str(path)) from error
    if not regular:  # opening a pipe would block
        raise UserError("file.unreadable", path=str(path))
    try:
        yield
    except PermissionError as error:
        raise UserError("file.unreadable", path=str(path)) from error
    except _UNREADABLE as error:
        raise UserError("file.no_picture", path=str(path)) from error


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, which tell its format."""
    with path.open("rb") as file:
        return file.read(12)


def _picture_xmp(path: Path) -> bytes:
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        packet = image.info.get("xmp") or image.info.get(PNG_XMP) or b""
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def _mp4_xmp(path: Path) -> bytes:
    """Return the XMP of an mp4, from its top-level boxes; empty if there is none."""
    end = path.stat().st_size
    with path.open("rb") as file:
        place = 0
        for _ in range(_MOST_BOXES):
            if place >= end:
                break
            file.seek(place)
            header = file.read(32)
            if len(header) < 8:  # noqa: PLR2004 - length and type
                break
            length, kind = struct.unpack_from(">I4s", header)
            start = 8
            if length == 1 and len(header) >= 16:  # noqa: PLR2004 - the length follows
                (length,) = struct.unpack_from(">Q", header, 8)
                start = 16
            if length == 0:  # to the end of the file
                length = end - place
            if kind == b"uuid" and header[start : start + 16] == _MP4_XMP:
                file.seek(place + start + 16)
                return file.read(min(max(length - start - 16, 0), _MOST_XMP))
            if length < start:
                break
            place += length
    return b""


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe in an untrusted clip or image.

    Raises:
        UserError: `file.*`: it is missing, unreadable, not a clip or picture, or has no recipe.
    """
    with _errors_for_users(path):
        comment = _read_comment(path)
    try:
        recipe = json.loads(comment)
    except (ValueError, RecursionError) as error:
        raise UserError("file.no_recipe", path=str(path)) from error
    if not isinstance(recipe, dict):
        raise UserError("file.no_recipe", path=str(path))
    return recipe


def _read_comment(path: Path) -> str:
    head = _head(path)
    if head.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return str(image.info.get(COMMENT, "")) if image.format == "PNG" else ""
    with open_video(path, "mp4") as container:
        return container.metadata.get(COMMENT, "")
