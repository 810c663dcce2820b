"""Compares what people were promised with what they saw, when all is over."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path

import av
import numpy as np

from inference.engines.testcard_picture import Picture
from inference.errors import RushesError
from inference.media.provenance import read_recipe
from inference.spec import Size
from tests.chaos.server import Command, Message, Witness
from tests.chaos.table import Tally
from tests.chaos.world import World

MARK = 8.0
"""Mean difference, of 255, that a watermark makes at least where it is."""

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
    for command in seen.commands:
        if command.answer is None:
            tally.stuck += 1
            tally.problems.append(f"never answered: {command.text}")
        elif command.job is not None:
            tally.accepted += 1
            await _judge_job(tally, seen, command, command.job in may_fail, rerouted=rerouted)
    accepted = {command.job for command in seen.commands if command.job is not None}
    _judge_database(tally, world.data / "rushes.sqlite3", accepted)
    if left := await world.left_over():
        tally.problems.append(f"processes left over: {left}")
    if world.exits[-1] != 0:
        tally.problems.append(f"the last stop ended with {world.exits[-1]}")
    return tally


async def _judge_job(
    tally: Tally, seen: Witness, command: Command, may_fail: bool, *, rerouted: bool
) -> None:
    job = command.job or ""
    clips, notices = seen.clips(job), seen.notices(job)
    cards = [message for message in seen.messages if message.key == f"{job}:card"]
    asked = any(job in other.text for other in seen.commands)

    def wrong(what: str) -> None:
        tally.problems.append(f"{job} ({command.place}, {command.text}): {what}")

    again = max(0, len(cards) - 1) + max(0, len(notices) - 1)
    if command.place == "upload":
        tally.repeated += again
    elif again:
        tally.duplicated += 1
        wrong(f"{len(cards)} cards, {len(notices)} notices")
    if len(clips) > 1:
        tally.duplicated += 1
        wrong(f"{len(clips)} clips")
    card = seen.card(job)
    end = card.latest.kind if card else "no card"
    if not seen.ended(job):
        tally.stuck += 1
        wrong(f"stands still: {end}, {len(clips)} clips, {len(notices)} notices")
    elif end == "done":
        places = {card.id for card in cards} | ({command.channel} if rerouted else set())
        if clips[0].channel not in places:
            wrong(f"the clip is in {clips[0].channel}")
        if fault := await asyncio.to_thread(_fault_of, clips[0], job):
            tally.lost += 1
            wrong(fault)
        else:
            tally.delivered += 1
    elif clips:
        tally.duplicated += 1
        wrong(f"a clip, and the card says {end}")
    elif end == "stopped" and asked:
        tally.cancelled += 1
    elif end == "failed" and may_fail:
        tally.told += 1
    else:
        tally.lost += 1
        wrong(f"ended without a reason: {card.latest.content if card else end}")


def _fault_of(clip: Message, job: str) -> str | None:
    """Return what is wrong with a file that arrived."""
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
    count = recipe["frames"] * recipe["loops"]
    if len(frames) != count:
        return f"the clip has {len(frames)} of {count} frames"
    height, width, _ = frames[0].shape
    bare = Picture.draw(
        recipe["prompt"],
        size=Size(width, height),
        seed=recipe["seed"],
        frames=count,
        image=None,
    ).frame(0)
    difference = np.abs(frames[0].astype(np.int16) - bare)
    corner = difference[int(height * 0.87) :, int(width * 0.7) :].mean()
    rest = difference[: height // 5].mean()  # above the panel with the words
    if not corner > MARK > NOISE > rest:
        return f"no watermark: {corner:.1f} in its corner, {rest:.1f} elsewhere"
    return None


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
