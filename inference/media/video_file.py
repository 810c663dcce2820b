"""Opens video files with FFmpeg, by their path only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer


def address(path: Path) -> str:
    """Return how FFmpeg is told of a file: what stands before a colon would be a protocol."""
    return f"file:{path}"


def open_video(path: Path, container: str | None = None) -> InputContainer:
    """Open a file for reading.

    Args:
        path: Of the file, whatever its name looks like.
        container: FFmpeg's name of the only format that is taken, such as `mp4`.

    Raises:
        av.FFmpegError: It cannot be opened.
    """
    return av.open(address(path), format=container)
