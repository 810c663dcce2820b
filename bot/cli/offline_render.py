"""`rushes render`: one clip for a script, without a queue, a database or a chat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot import factories
from bot.config.sections import Config
from commands.installation import Installation
from commands.option_set import OptionSet
from commands.options import PRESET
from commands.parsing.flags import ParsedRequest, parse
from commands.schema import Kind, Option, Value
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import Resolved, resolve
from commands.text.job_lines import unknown_in
from inference.domain.errors import UserError
from inference.domain.job import TYPED, Job, JobState, Requester, new_job_id
from inference.domain.reference import (
    IMAGE_NAME,
    LAST_NAME,
    Attached,
    Prepared,
    Reference,
    picture_name,
)
from inference.domain.render import ProgressCallback
from inference.domain.spec import SEEDS, Spec
from inference.jobs.renders.recipe import PRIVATE, recipe
from inference.workers.media.process import MediaProcess
from inference.workers.slot import RenderTask, Slot

CLIP, STILL = ".mp4", ".png"

HIDDEN_PROMPT = "…"
"""Stands for the words of a clip whose guild keeps them out of its files."""

PICTURE = "picture.png"
"""Stands for the picture of an effect: a file says that there was one, not which."""


def plan(config: Config, line: str, output: Path) -> Resolved:
    """Resolve the command line of `render` to specs and output files, before anything is started.

    Args:
        config: For the installed models.
        line: Prompt and flags, as typed in a chat.
        output: `.mp4`, or `.png` for one frame.

    Raises:
        UserError: The options or the output path are not possible.
    """
    suffix = output.suffix.lower()
    if suffix not in {CLIP, STILL}:
        raise UserError("output.suffix", path=str(output), legal=[CLIP, STILL])
    if output.is_dir():
        raise UserError("output.is_a_directory", path=str(output))
    if not output.parent.is_dir():
        raise UserError("output.no_directory", path=str(output.parent))
    resolved = decide(offline(config), line, {"frames": 1} if suffix == STILL else {})
    if (resolved.spec.frames == 1) != (suffix == STILL):
        raise UserError("output.wrong_suffix", path=str(output), count=resolved.spec.frames)
    return resolved


def each_of(resolved: Resolved, output: Path) -> list[tuple[Resolved, Path]]:
    """Return the clips to render with their files, which are numbered if there are several."""
    if resolved.count == 1:
        return [(resolved, output)]
    first = resolved.spec.seed
    return [
        (
            replace(resolved, spec=replace(resolved.spec, seed=(first + place) % SEEDS), count=1),
            output.with_stem(f"{output.stem}-{place + 1}"),
        )
        for place in range(resolved.count)
    ]


def offline(config: Config) -> Installation:
    """Return the installation without prompt assistant: a script gets the prompt it asks for."""
    return replace(factories.make_installation(config), assistant=False)


def decide(installation: Installation, line: str, common: Mapping[str, Value]) -> Resolved:
    """Return the resolved spec of a line.

    Args:
        installation: What is installed.
        line: Prompt and flags, as typed in a chat.
        common: Options that hold where the line says nothing else.

    Raises:
        UserError: The line is not possible.
    """
    typed = parse(line, installation.options)
    if PRESET.name in {*typed.options, *common}:
        raise UserError("preset.only_in_chats")
    layers = [
        Layer(
            name=COMMAND,
            values={name: common[name] for name in common if name not in typed.options},
            asked=True,
        ),
        Layer(name=TYPED, values=typed.options, asked=True),
    ]
    return resolve(typed.prompt, layers, installation)


def tell_unknown(wanted: Iterable[Resolved], locale: str) -> None:
    """Say on stderr which words of the prompts their models do not know, each sentence once."""
    said = (unknown_in(one.spec.prompt, locale, one.capabilities) for one in wanted)
    for sentence in dict.fromkeys(filter(None, said)):
        sys.stderr.write(f"rushes: {sentence}\n")


@contextlib.asynccontextmanager
async def open_slot(config: Config, models: Iterable[str]) -> AsyncIterator[Slot]:
    """Yield a worker for some models, which is stopped at the end of the block."""
    pool = factories.pool(config, factories.models(config), names=models)
    async with pool.slots[0] as slot:
        yield slot


async def render(
    config: Config, slot: Slot, resolved: Resolved, output: Path, on_progress: ProgressCallback
) -> None:
    """Render to a file, which appears complete or not at all.

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
            image=None if image is None else Prepared(image.name),
            last=None if last is None else Prepared(last.name),
        )
        pictures: dict[str, Path] = {}
        for name, reference in ((n, r) for use in spec.effects for n, r in use.pictures.items()):
            picture = await _image(reference, directory / picture_name(name))
            if picture is not None:
                pictures[name] = picture
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
            pictures=pictures,
        )
        manifest = await slot.render(task, on_progress)
        await asyncio.to_thread(_move, task.directory / manifest.name, output)


def options_of(spec: Spec) -> OptionSet:
    """Return the options with which a spec can be written, be its model installed or not."""
    kinds = {bool: Kind.FLAG, int: Kind.INTEGER, float: Kind.NUMBER}
    own = {
        name: kinds.get(type(value), Kind.TEXT)
        for values in (spec.options, spec.texts, *(use.values for use in spec.effects))
        for name, value in values.items()
    }
    own |= {name: Kind.IMAGE for use in spec.effects for name in use.pictures}
    return OptionSet((), *(Option(name=name, flag=name, kind=kind) for name, kind in own.items()))


def spec_of(recipe: Mapping[str, Any]) -> Spec:
    """Return the spec written into a file; the pictures of effects are named `PICTURE`.

    Raises:
        KeyError, TypeError, ValueError: It is no recipe.
    """
    spec = Spec.from_dict({"refine": False, "prompt": HIDDEN_PROMPT, **recipe})
    effects = (
        replace(
            use, pictures={str(name): Prepared(PICTURE) for name in each.get("with_pictures", ())}
        )
        for use, each in zip(spec.effects, recipe.get("effects", ()), strict=True)
    )
    return replace(spec, effects=tuple(effects))


def write_flags(spec: Spec) -> ParsedRequest:
    """Return the flags that make a spec again."""
    options = spec.as_dict()
    for name in PRIVATE:
        del options[name]
    for name in ("after_frames", "file_fps", "overlap_frames"):  # nothing to type
        del options[name]
    options |= {**options.pop("options"), **options.pop("texts")}
    for use in options.pop("effects"):
        options |= {**dict.fromkeys(use["pictures"], PICTURE), **use["values"]}
    prompt = options.pop("prompt")
    if options.pop("original") is not None:  # what is typed again is refined already
        options["refine"] = False
    return ParsedRequest(prompt=prompt, options={k: v for k, v in options.items() if v is not None})


def _move(made: Path, output: Path) -> None:
    """Move a finished file to its target, with permissions by the person's umask."""
    umask = os.umask(0)
    os.umask(umask)
    made.chmod(0o666 & ~umask)
    made.replace(output)


async def _image(typed: Reference | None, target: Path) -> Path | None:
    """Write the cleaned image of `--image` to `target`; None without one."""
    if not isinstance(typed, Attached):
        return None
    source = await asyncio.to_thread(_local, typed.url)
    if not await asyncio.to_thread(source.is_file):
        raise UserError("image.not_found", path=typed.url)
    async with MediaProcess() as media:
        await media.clean_image(source, target)
    return target


def _local(typed: str) -> Path:
    return Path(os.path.expanduser(typed)).resolve()  # noqa: PTH111 - pathlib raises where a home is unknown


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
