"""Job files on disk.

```
data_dir/jobs/<job>/input/source        as downloaded, untrusted
data_dir/jobs/<job>/input/image.png     cleaned reference image: the first frame
data_dir/jobs/<job>/input/last.png      the same for the last frame
data_dir/jobs/<job>/input/effect-<option>.png  the same for a picture of an effect
data_dir/jobs/<job>/input/latents.bin   what was kept of the clip to go on from
data_dir/jobs/<job>/<attempt>/clip.mp4  what the worker made
data_dir/jobs/<job>/<attempt>/latents.bin  what a later clip can go on from
data_dir/jobs/<job>/<attempt>/preview.jpg  newest still of the making
data_dir/jobs/<job>/<attempt>/poster.jpg   small still of what the worker made; made on demand
data_dir/jobs/<job>/<attempt>/sheet.jpg    posters of all that were asked for together; the same
```
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from inference.domain.job import Job, JobState
from inference.domain.reference import Prepared, Reference
from inference.domain.render import LATENTS_NAME, PREVIEW_NAME
from inference.store.codec.rows import is_safe_id

_INPUT = "input"
_POSTER = "poster.jpg"
_SHEET = "sheet.jpg"

_log = structlog.get_logger(__name__)


class Artifacts:
    """Paths of a job's files. Retention is decided elsewhere (`jobs.expiry`)."""

    def __init__(self, data_directory: Path) -> None:
        self._root = data_directory / "jobs"

    def input_directory(self, job_id: str) -> Path:
        """Return the folder for what came in with a job; made on demand by its writer."""
        return self._root / job_id / _INPUT

    def attempt_directory(self, job: Job) -> Path:
        """Return the folder of the job's current attempt; the worker makes it."""
        return self._root / job.id / str(job.attempt)

    def remove_earlier(self, job: Job) -> None:
        """Delete the files of earlier attempts, which a killed worker leaves behind."""
        folder = self._root / job.id
        with contextlib.suppress(OSError):  # the folder may be gone with its job
            for entry in folder.iterdir() if _is_folder(folder) else ():
                earlier = entry.name.isdecimal() and int(entry.name) < job.attempt
                if earlier and _is_folder(entry):
                    shutil.rmtree(entry, ignore_errors=True)

    def input(self, job: Job, reference: Reference | None) -> Path | None:
        """Return the file that a job starts from; None for one that is not prepared."""
        if not isinstance(reference, Prepared):
            return None
        return self.input_directory(job.id) / reference.name

    def pictures(self, job: Job) -> dict[str, Path]:
        """Return the prepared pictures of a job's effects, by option."""
        return {
            name: path
            for effect in job.spec.effects
            for name, reference in effect.pictures.items()
            if (path := self.input(job, reference)) is not None
        }

    def latents(self, job: Job) -> Path | None:
        """Return the latents for extending a clip, while they are kept."""
        if job.manifest is None or job.manifest.latents_sha256 is None:
            return None
        path = self.attempt_directory(job) / LATENTS_NAME
        return path if path.is_file() else None

    def find_finished(self, job: Job) -> Path | None:
        """Return the finished file while it exists."""
        if job.manifest is None:
            return None
        path = self.attempt_directory(job) / job.manifest.name
        return path if path.is_file() else None

    def preview(self, job: Job) -> Path | None:
        """Return the newest still of a job that is being rendered, where its engine makes any."""
        path = self.attempt_directory(job) / PREVIEW_NAME
        return path if job.state is JobState.RUNNING and path.is_file() else None

    def poster(self, job: Job) -> Path:
        """Return the path of a finished job's poster, which may not exist yet."""
        return self.attempt_directory(job) / _POSTER

    def sheet(self, job: Job) -> Path:
        """Return where the sheet is, of jobs of which this is the first that is shown there."""
        return self.attempt_directory(job) / _SHEET

    def sheets(self, jobs: Iterable[Job]) -> dict[Path, tuple[int, int]]:
        """Return the contact sheets of jobs that exist, each with its version."""
        found = {}
        for sheet in map(self.sheet, jobs):
            with contextlib.suppress(FileNotFoundError):
                found[sheet] = _version(sheet)
        return found

    def remove_sheets(self, sheets: Mapping[Path, tuple[int, int]]) -> None:
        """Delete sheets, except those redrawn since `sheets` returned them."""
        for sheet, version in sheets.items():
            with contextlib.suppress(FileNotFoundError):
                if _version(sheet) == version:
                    sheet.unlink()

    def job_ids(self) -> list[str]:
        """Return the names of folders that may be jobs': no files, no links, nothing odd."""
        if not self._root.is_dir():
            return []
        return [
            path.name for path in self._root.iterdir() if is_safe_id(path.name) and _is_folder(path)
        ]

    def newest_change(self, job_id: str) -> float:
        """Return when anything in a job's folder was changed last, Unix seconds."""
        newest = 0.0
        for place, folders, files in os.walk(self._root / job_id):
            for name in ("", *folders, *files):
                with contextlib.suppress(OSError):
                    newest = max(newest, Path(place, name).lstat().st_mtime)
        return newest

    def remove(self, job_id: str) -> bool:
        """Delete all files of a job; a missing folder is fine.

        Links are not followed, and what nobody of us puts there stays.

        Returns:
            Whether the job has no folder any more.
        """
        folder = self._root / job_id
        if not is_safe_id(job_id) or not _is_folder(folder):
            return not folder.exists()
        for entry in folder.iterdir():
            ours = entry.name == _INPUT or entry.name.isdecimal()
            if ours and _is_folder(entry):
                shutil.rmtree(entry, ignore_errors=True)
        try:
            folder.rmdir()
        except OSError:
            _log.warning("store.files_left", job=job_id)
            return False
        return True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _version(path: Path) -> tuple[int, int]:
    """Return inode and time of a file, to recognise a replaced one."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
