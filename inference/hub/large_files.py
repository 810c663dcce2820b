"""Downloads of large files from the hub, which go on where an earlier try was killed.

The hub's own client begins a file anew with each process. What is complete here it takes as it is.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable
from pathlib import Path

from inference.opensora.files import cache_folder, checkpoint_path

LEAST_BYTES = 10_000_000
"""Smaller files are begun anew."""
MOST_BYTES = 50_000_000_000
"""The hub sends larger files to its own client only."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_large(
    source: str, names: Iterable[str], revision: str, directory: Path | None, *, token: bool | None
) -> None:
    """Download the files that are not here where the hub's client looks for them.

    Args:
        source: Id of the repository.
        names: Of its files.
        revision: The commit.
        directory: As in `download.download`.
        token: As the hub's client takes it.

    Raises:
        Exception: What the hub's client raises; what is here by then is kept.
    """
    import huggingface_hub as hub  # noqa: PLC0415 - takes a while, and only downloads need it

    for name in names:
        if ".." in Path(name).parts or Path(name).is_absolute():
            continue  # the client refuses it
        url = hub.hf_hub_url(source, name, revision=revision)
        about = hub.get_hf_file_metadata(url, token=token)
        if about.size is None or about.etag is None or not _SHA256.fullmatch(about.etag):
            continue  # nothing tells later whether it is whole
        place, part = _places(source, name, about.etag, directory)
        if not place.exists():
            _fetch(url, place, part, about.size, token=token)


def _places(source: str, name: str, digest: str, directory: Path | None) -> tuple[Path, Path]:
    """Return where the hub's client looks for a file, and where it is kept until it is whole."""
    if directory is not None:
        folder = checkpoint_path(source, directory)
        return folder / name, folder / ".cache" / "rushes" / f"{digest}.part"
    blobs = cache_folder(source) / "blobs"
    return blobs / digest, blobs / f"{digest}.part"


def _fetch(url: str, place: Path, part: Path, size: int, *, token: bool | None) -> None:
    from huggingface_hub import file_download, utils  # noqa: PLC0415 - see above

    for path in (place, part):
        path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two at a time would write into one another
        if place.exists():
            part.unlink(missing_ok=True)
            return
        done = file.tell()
        if done > size:
            file.truncate(0)
            done = 0
        file_download.http_get(
            url,
            file,
            resume_size=done,
            headers=utils.build_hf_headers(token=token),  # type: ignore[attr-defined]
            expected_size=size,
            displayed_filename=place.name,
        )
        file.flush()
        part.rename(place)
