"""Kills the bot at every fault point it passes on its way through one eventful story."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
from pathlib import Path

from PIL import Image

from tests.chaos.records import Command
from tests.chaos.table import Tally
from tests.chaos.verdict import judge
from tests.chaos.world import World, world

END_SECONDS = 180.0
"""From the last command to the end of the last job, two starts of the bot included."""

STEP_SECONDS = 0.04
"""Long enough for the storm to be cancelled while it renders: it has eight seconds of them."""

CLIP = "--frames 49 --res 360p --steps 3"
STILL = "--frames 1 --res 360p --steps 2"


async def discover(directory: Path) -> tuple[list[str], Tally]:
    """Tell the story undisturbed; return the fault points it passes, and how it went."""
    trace = directory.parent / f"{directory.name}.trace"
    tally = await _lived(directory, {"RUSHES_FAULT_TRACE": str(trace)})
    return sorted(set(trace.read_text(encoding="utf-8").split())), tally


async def killed_at(directory: Path, point: str) -> Tally:
    """Tell the story with a bot that is killed at a point and started again."""
    return await _lived(directory, {"RUSHES_FAULT": point})


async def _lived(directory: Path, first_life: dict[str, str]) -> Tally:
    async with world(directory, step_seconds=STEP_SECONDS) as living:
        await living.start(first_life)
        keeping = asyncio.create_task(living.keep_alive())
        try:
            may_fail = await tell(living)
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
        await living.stop()
        tally = await judge(living, may_fail=may_fail, rerouted=True)
        tally.kills = living.exits.count(-signal.SIGKILL)
        return tally


async def tell(living: World) -> set[str]:
    """Let two guilds ask for things, change their minds and have bad luck, to the end.

    Return the jobs that may end in a sentence: they have their reason.
    """
    seen = living.seen
    seen.images["cat.png"] = _png()
    seen.trouble(r"POST /nonce/channels/c-", status=503)
    seen.trouble(r"POST /nonce/messages/.*/thread", status=403, times=2)
    seen.trouble(r"POST /upload/files/.*/complete", status=503)
    long = seen.say("nonce", "/generate a long storm --frames 49 --res 360p --steps 200")
    await seen.until(lambda: _shown(living, long) == "running", END_SECONDS)
    # While the storm keeps the GPU: nothing may be made before it is cancelled.
    waiting = seen.say("upload", f"/generate never mind {CLIP}", guild="g2", user="bob")
    await seen.until(lambda: waiting.answer, END_SECONDS)
    cancelled = seen.say("upload", f"/rushes cancel {waiting.job}", guild="g2", user="bob")
    await seen.until(lambda: cancelled.answer, END_SECONDS)
    seen.say("nonce", f"/rushes cancel {long.job}")
    others = [
        seen.say("upload", f"/generate a cat {CLIP}", guild="g2", user="bob"),
        seen.say("nonce", f"/generate a fox {CLIP}"),
        seen.say("upload", f"/generate a still {STILL}", guild="g2", user="cleo"),
        seen.say("nonce", f"/animate it runs {CLIP}", image="cat.png"),
        seen.say("nonce", f"/animate nothing {CLIP}", image="nothing.png"),
    ]
    seen.say("nonce", f"/generate two stills {STILL} --count 2")
    unlucky = others[0]
    await seen.until(lambda: _shown(living, unlucky) in {"running", "done"}, END_SECONDS)
    if worker := living.worker():
        worker.kill()
    await seen.until(lambda: not seen.open(), END_SECONDS)
    return {others[-1].job or ""}


def _shown(living: World, command: Command) -> str | None:
    card = living.seen.card(command.job) if command.job else None
    return card.latest.kind if card else None


def _png() -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (320, 240), "orange").save(file, "PNG")
        return file.getvalue()
