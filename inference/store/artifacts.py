"""Files on disk, beside the rows that own them.

```
data_dir/jobs/<job>/input/source        as downloaded, untrusted
data_dir/jobs/<job>/input/image.png     cleaned reference image: the first frame
data_dir/jobs/<job>/input/last.png      the same for the last frame
data_dir/jobs/<job>/input/latents.bin   what was kept of the clip to go on from
data_dir/jobs/<job>/<attempt>/clip.mp4  what the worker made
data_dir/jobs/<job>/<attempt>/latents.bin  what a later clip can go on from
data_dir/jobs/<job>/<attempt>/preview.jpg  newest still of the making
```
"""

from __future__ import annotations

import shutil
from pathlib import Path

from inference.jobs.model import Job, JobState
from inference.workers.base import LATENTS_NAME, PREVIEW_NAME


class Artifacts:
    """Where a job's files are. Makes no decision about when they go."""

    def __init__(self, data_directory: Path) -> None:
        self._root = data_directory / "jobs"

    def input_directory(self, job_id: str) -> Path:
        """Return the folder for what came in with a job; made on demand by its writer."""
        return self._root / job_id / "input"

    def attempt_directory(self, job: Job) -> Path:
        """Return the folder of the job's current attempt; the worker makes it."""
        return self._root / job.id / str(job.attempt)

    def image(self, job: Job) -> Path | None:
        """Return the prepared reference image."""
        return None if job.image is None else self.input_directory(job.id) / job.image

    def input(self, job: Job, name: str | None) -> Path | None:
        """Return a prepared input by its artifact name; None for None."""
        return None if name is None else self.input_directory(job.id) / name

    def latents(self, job: Job) -> Path | None:
        """Return what a later clip can go on from, while that is kept."""
        if job.manifest is None or job.manifest.latents_sha256 is None:
            return None
        path = self.attempt_directory(job) / LATENTS_NAME
        return path if path.is_file() else None

    def finished(self, job: Job) -> Path | None:
        """Return the finished file while it exists."""
        if job.manifest is None:
            return None
        path = self.attempt_directory(job) / job.manifest.name
        return path if path.is_file() else None

    def preview(self, job: Job) -> Path | None:
        """Return the newest still of a job that is being rendered, where its engine makes any."""
        path = self.attempt_directory(job) / PREVIEW_NAME
        return path if job.state is JobState.RUNNING and path.is_file() else None

    def job_ids(self) -> list[str]:
        """Return the jobs that have files."""
        return [path.name for path in self._root.iterdir()] if self._root.is_dir() else []

    def remove(self, job_id: str) -> None:
        """Delete all files of a job; fine when there are none."""
        shutil.rmtree(self._root / job_id, ignore_errors=True)
