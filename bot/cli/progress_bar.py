"""The progress bar of `rushes render`: on stderr, and only in a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Display

from commands.specs.resolve import Resolved
from commands.text.messages import text
from inference.clock import SystemClock
from inference.domain.render import Progress, ProgressCallback, Stage
from inference.jobs.estimates.cost_model import CostModel
from inference.jobs.estimates.progress import JobProgress


@contextlib.contextmanager
def progress_bar(locale: str, resolved: Resolved, before: str = "") -> Iterator[ProgressCallback]:
    """Yield the callback that updates the bar, which is removed at the end of the block.

    Args:
        locale: Of the reader.
        resolved: What is rendered; its model's own estimates begin the bar.
        before: Stands before what is done.
    """
    stages = CostModel().stages(resolved.spec, resolved.capabilities, warm=False)
    job = JobProgress(stages, SystemClock())
    console = Console(stderr=True)
    display = Display(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with display:
        task = display.add_task(before + text("card.starting", locale), total=1.0, left="")

        def show(progress: Progress) -> None:
            job.note(progress)
            outlook = job.outlook()
            words = {
                Stage.LOADING: text("cli.loading", locale),
                Stage.RENDERING: text(
                    "card.step", locale, done=progress.done, total=progress.total
                ),
                Stage.EFFECTS: text(
                    "card.effects", locale, done=progress.done, total=progress.total
                ),
                Stage.FINISHING: text("card.finishing", locale),
            }
            display.update(
                task,
                description=before + words[progress.stage],
                completed=outlook.fraction,
                left=text("card.left", locale, seconds=outlook.seconds_left),
            )

        yield show
