"""Compares what people were promised with what they saw, when all is over."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from inference.domain.errors import RushesError
from inference.domain.spec import Size
from inference.engines.testcard_picture import Picture
from inference.media.provenance import read_recipe
from tests.chaos.records import Command, Message
from tests.chaos.server import Witness
from tests.chaos.table import Tally
from tests.chaos.world import World

MARK = 8.0
"""Mean difference, of 255, that a watermark makes at least where it is."""

SHARED_FRAMES = 17
"""Each pass of a render begins with the end of the one before."""

NOISE = 4.0
"""Mean difference that the encoder makes at most elsewhere."""


async def judge(world: World, *, may_fail: Collection[str] = (), rerouted: bool = False) -> Tally:
    """Judge a world whose bot was stopped.

    Args:
        world: With everything that its witness saw.
        may_fail: Jobs with a reason to end in a sentence instead of a clip.
        rerouted: Whether threads were closed, so that clips may be in the channel.
    """
    seen, tally = world.seen, Tally()
    accepted: set[str] = set()
    batches = _batches(world.data / "rushes.sqlite3")
    for command in seen.commands:
        if command.answer is None:
            tally.stuck += 1
            tally.problems.append(f"never answered: {command.text}")
        elif command.job is not None:
            _count_texts(tally, seen, command)
            members = batches.get(command.job, {command.job: None})
            if len(members) != command.count:
                tally.problems.append(f"{command.job}: {len(members)} of {command.count} jobs")
            for job, state in members.items():
                tally.accepted += 1
                accepted.add(job)
                outcome, problem = await asyncio.to_thread(
                    _outcome,
                    seen,
                    command,
                    job,
                    end=ENDS.get(state or ""),
                    may_fail=job in may_fail,
                    rerouted=rerouted,
                )
                setattr(tally, outcome, getattr(tally, outcome) + 1)
                if problem:
                    tally.problems.append(f"{job} ({command.place}, {command.text}): {problem}")
            if len(seen.sheets(command.job)) > 1:
                tally.duplicated += 1
                tally.problems.append(f"{command.job}: {len(seen.sheets(command.job))} sheets")
    _judge_database(tally, world.data / "rushes.sqlite3", accepted)
    if left := await world.left_over():
        tally.problems.append(f"processes left over: {left}")
    if world.exits[-1] != 0:
        tally.problems.append(f"the last stop ended with {world.exits[-1]}")
    return tally


ENDS = {
    "done": "done",
    "failed": "failed",
    "refused": "failed",
    "cancelled": "stopped",
    "expired": "stopped",
}
"""State of one of several jobs -> what a card of its own would say."""


def _batches(path: Path) -> dict[str, dict[str, str]]:
    """Return the jobs that were asked for together, with their states, by the first of them."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT batch, id, state FROM jobs WHERE batch IS NOT NULL ORDER BY number"
        )
        found: dict[str, dict[str, str]] = {}
        for batch, job, state in rows:
            found.setdefault(batch, {})[job] = state
    return found


def _count_texts(tally: Tally, seen: Witness, command: Command) -> None:
    """Count cards and notices that came more than once."""
    cards, notices = seen.cards(command.job or ""), seen.notices(command.job or "")
    again = max(0, len(cards) - 1) + len(notices) - len({notice.key for notice in notices})
    if command.place == "upload":
        tally.repeated += again
    elif again:
        tally.duplicated += 1
        tally.problems.append(f"{command.job}: {len(cards)} cards, {len(notices)} notices")


def _outcome(
    seen: Witness, command: Command, job: str, *, end: str | None, may_fail: bool, rerouted: bool
) -> tuple[str, str | None]:
    """Return which count a job belongs to, and what is wrong with it.

    Args:
        seen: What people saw.
        command: That asked for it.
        job: Its id.
        end: How it ended, of one of several, of which there is one card.
        may_fail: Whether it has a reason to.
        rerouted: Whether its clip may be in the channel.
    """
    first = command.job or ""
    card, clips = seen.card(first), seen.clips(job)
    end = end or (card.latest.kind if card else "no card")
    if len(clips) > 1 or (clips and end in {"stopped", "failed"}):
        return "duplicated", f"{len(clips)} clips, and the card says {end}"
    if not seen.ended(first, command.words) or (end == "done" and not clips):
        return "stuck", f"{end}, {len(clips)} clips, {len(seen.notices(first))} notices"
    if end == "done":
        places = {message.id for message in seen.cards(first)}
        if rerouted:
            places.add(command.channel)
        fault = _fault_of(clips[0], job, places)
        return ("lost", fault) if fault else ("delivered_once", None)
    if end == "stopped" and any({job, first} & set(other.text.split()) for other in seen.commands):
        return "cancelled", None
    if end == "failed" and may_fail:
        return "told", None
    return "lost", f"ended without a reason: {card.latest.content if card else end}"


def _fault_of(clip: Message, job: str, places: Collection[str]) -> str | None:
    """Return what is wrong with a file that arrived."""
    if clip.channel not in places:
        return f"the clip is in {clip.channel}"
    path = clip.path or Path()
    try:
        recipe = read_recipe(path)
        if recipe["job"] != job:
            return f"the clip is that of {recipe['job']}"
        if recipe["frames"] == 1:
            return None
        with av.open(str(path), format="mp4") as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (RushesError, av.FFmpegError, KeyError) as error:
        return f"the clip cannot be played: {error!r}"
    count = _frames(recipe)
    if len(frames) != count:
        return f"the clip has {len(frames)} of {count} frames"
    return _unmarked(frames[0], recipe)


def _frames(recipe: dict[str, Any]) -> int:
    """Return how many frames the file must have: passes share five latent frames, which are 17."""
    shared: int = recipe["after_frames"] or SHARED_FRAMES
    return shared + int(recipe["loops"]) * (int(recipe["frames"]) - SHARED_FRAMES)


def _unmarked(frame: npt.NDArray[Any], recipe: dict[str, Any]) -> str | None:
    """Compare a first frame with the bare picture; return what speaks against a watermark."""
    height, width, _ = frame.shape
    bare = Picture.draw(
        recipe["prompt"],
        size=Size(width, height),
        seed=recipe["seed"],
        frames=_frames(recipe),
    ).frame(0)
    difference = np.abs(frame.astype(np.int16) - bare)
    corner = difference[int(height * 0.87) :, int(width * 0.7) :].mean()
    rest = difference[: height // 5].mean()  # above the panel with the words
    if corner > MARK > NOISE > rest:
        return None
    return f"no watermark: {corner:.1f} in its corner, {rest:.1f} elsewhere"


def _judge_database(tally: Tally, path: Path, accepted: Collection[str]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(verdict,)] = connection.execute("PRAGMA integrity_check")
        ids = {job for (job,) in connection.execute("SELECT id FROM jobs")}
        [(open_jobs,)] = connection.execute("SELECT count(*) FROM jobs WHERE ended_at IS NULL")
        [(owed,)] = connection.execute(
            "SELECT count(*) FROM outbox WHERE shown < wanted AND dead = 0"
        )
    if verdict != "ok":
        tally.problems.append(f"database: {verdict}")
    if missing := set(accepted) - ids:
        tally.lost += len(missing)
        tally.problems.append(f"accepted, and not in the database: {missing}")
    if unknown := ids - set(accepted):
        tally.duplicated += len(unknown)
        tally.problems.append(f"jobs that nobody was told of: {unknown}")
    if open_jobs or owed:
        tally.problems.append(f"database: {open_jobs} jobs not ended, {owed} messages owed")
