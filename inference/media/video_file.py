"""Opening of video files with FFmpeg, as paths and never as URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer


def address(path: Path) -> str:
    """Return a path as a `file:` URL, because FFmpeg takes text before a colon as a protocol."""
    return f"file:{path}"


def open_video(path: Path, container: str | None = None) -> InputContainer:
    """Open a file for reading.

    Args:
        path: Path of the file; its name may contain colons.
        container: FFmpeg's name of the only accepted format, such as `mp4`.

    Raises:
        av.FFmpegError: It cannot be opened.
    """
    return av.open(address(path), format=container)
