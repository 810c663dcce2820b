"""The recipe inside a file: JSON in the comment of an mp4 or PNG."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import av
from PIL import Image

from inference.domain.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

COMMENT = "comment"
"""Name of the mp4 tag and of the PNG text chunk."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def recipe_comment(recipe: dict[str, Any]) -> str:
    """Return the recipe as one line of ASCII, so that no container's text encoding can hurt it.

    Raises:
        TypeError: A value is not JSON.
        ValueError: A number is not finite.
    """
    return json.dumps(recipe, allow_nan=False, separators=(",", ":"))


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe of a clip or image; the file is untrusted.

    Raises:
        UserError: `file.unreadable` or `file.no_recipe`.
    """
    try:
        comment = _read_comment(path)
    except (OSError, SyntaxError, ValueError, av.FFmpegError, Image.DecompressionBombError) as err:
        raise UserError("file.unreadable", path=str(path)) from err
    try:
        recipe = json.loads(comment)
    except (ValueError, RecursionError) as error:
        raise UserError("file.no_recipe", path=str(path)) from error
    if not isinstance(recipe, dict):
        raise UserError("file.no_recipe", path=str(path))
    return recipe


def _read_comment(path: Path) -> str:
    with path.open("rb") as file:
        is_png = file.read(len(_PNG_SIGNATURE)) == _PNG_SIGNATURE
    if not is_png:
        with av.open(str(path), format="mp4") as container:
            return container.metadata.get(COMMENT, "")
    with Image.open(path, formats=("PNG",)) as image:
        return str(image.info.get(COMMENT, ""))
