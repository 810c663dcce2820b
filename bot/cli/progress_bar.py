"""The progress bar of `rushes render`: on stderr, and only where somebody watches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Display

from commands.text.messages import text
from inference.domain.render import Progress, ProgressCallback, Stage


@contextlib.contextmanager
def progress_bar(locale: str) -> Iterator[ProgressCallback]:
    """Yield what to call with every progress; the bar is gone at the end of the block."""
    console = Console(stderr=True)
    display = Display(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with display:
        task = display.add_task(text("card.starting", locale), total=None)

        def show(progress: Progress) -> None:
            words = {
                Stage.LOADING: text("cli.loading", locale),
                Stage.RENDERING: text(
                    "card.step", locale, done=progress.done, total=progress.total
                ),
                Stage.FINISHING: text("card.finishing", locale),
            }
            display.update(
                task,
                description=words[progress.stage],
                completed=progress.done,
                total=progress.total,
            )

        yield show
