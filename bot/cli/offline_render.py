"""`rushes render`: one clip for a script, without a queue, a database or a chat."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bot import factories
from bot.config.sections import Config
from commands.parsing.flags import Typed, parse
from commands.resolve import COMMAND, Layer, Resolved, resolve
from inference.domain.errors import UserError
from inference.domain.job import TYPED, Job, JobState, Requester, new_job_id
from inference.domain.render import ProgressCallback
from inference.domain.spec import Spec
from inference.jobs.preparation import IMAGE_NAME, LAST_NAME
from inference.jobs.recipe import PRIVATE, recipe
from inference.workers.executor import RenderTask
from inference.workers.media import MediaProcess

CLIP, STILL = ".mp4", ".png"


def plan(config: Config, line: str, output: Path) -> Resolved:
    """Decide what `render` makes, before anything is started.

    Args:
        config: For the installed models.
        line: Prompt and flags, as typed in a chat.
        output: `.mp4`, or `.png` for one frame.

    Raises:
        UserError: The line, or the place for the file, is not possible.
    """
    suffix = output.suffix.lower()
    if suffix not in {CLIP, STILL}:
        raise UserError("output.suffix", path=str(output), legal=[CLIP, STILL])
    if output.is_dir():
        raise UserError("output.is_a_directory", path=str(output))
    if not output.parent.is_dir():
        raise UserError("output.no_directory", path=str(output.parent))
    typed = parse(line)
    layers = [Layer(name=TYPED, values=typed.options, asked=True)]
    if suffix == STILL and "frames" not in typed.options:
        layers.insert(0, Layer(name=COMMAND, values={"frames": 1}, asked=True))
    installation = replace(
        factories.installation(config), assistant=False
    )  # a script gets what it asks for
    resolved = resolve(typed.prompt, layers, installation)
    if (resolved.spec.frames == 1) != (suffix == STILL):
        raise UserError("output.wrong_suffix", path=str(output), count=resolved.spec.frames)
    return resolved


async def render(
    config: Config, resolved: Resolved, output: Path, on_progress: ProgressCallback
) -> None:
    """Make the file: it appears complete or not at all.

    Raises:
        UserError: The reference image cannot be used.
        EngineError: The render failed.
        WorkerLost: The worker process did.
        OSError: The folder cannot be written to.
    """
    spec = resolved.spec
    # In the same folder, so that the last step is a rename.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".rushes-") as made:
        directory = Path(made)
        image = await _image(spec.image, directory / IMAGE_NAME)
        last = await _image(spec.last, directory / LAST_NAME)
        prepared = replace(
            spec,
            image=None if image is None else image.name,
            last=None if last is None else last.name,
        )
        job = _job(prepared, resolved.origins)
        task = RenderTask(
            job_id=job.id,
            attempt=1,
            spec=job.spec,
            directory=directory / "attempt",
            image=image,
            watermark=factories.watermark(config),
            recipe=recipe(job),
            last=last,
        )
        async with factories.executor(config, models=[spec.model]) as executor:
            manifest = await executor.render(task, on_progress)
        await asyncio.to_thread(_place, task.directory / manifest.name, output)


def written(spec: Spec) -> Typed:
    """Return what to type to get a spec again."""
    options = spec.as_dict()
    for name in PRIVATE:
        del options[name]
    del options["after_frames"]  # without its latents nothing goes on
    prompt = options.pop("prompt")
    if options.pop("original") is not None:  # what is typed again is refined already
        options["refine"] = False
    return Typed(prompt=prompt, options={k: v for k, v in options.items() if v is not None})


def _place(made: Path, output: Path) -> None:
    """Move a finished file where it was wanted, readable for whom the person's umask allows."""
    umask = os.umask(0)
    os.umask(umask)
    made.chmod(0o666 & ~umask)
    made.replace(output)


async def _image(typed: str | None, target: Path) -> Path | None:
    """Clean the image that somebody named, if they did."""
    if typed is None:
        return None
    source = await asyncio.to_thread(Path(typed).resolve)
    if not await asyncio.to_thread(source.is_file):
        raise UserError("image.not_found", path=typed)
    async with MediaProcess() as media:
        await media.clean_image(source, target)
    return target


def _job(spec: Spec, origins: dict[str, str]) -> Job:
    return Job(
        id=new_job_id(),
        state=JobState.RUNNING,
        spec=spec,
        origins=origins,
        tenant="",
        requester=Requester(id="", name=""),
        platform="",
        address={},
        created_at=time.time(),
        cost=0.0,
    )
