"""Readiness of this process, for `/readyz`, health checks, metrics and the doctor."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiosqlite

from bot.platform import Services
from commands.options import IMAGE
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import resolve
from commands.text.messages import error_text, text
from inference.domain.capabilities import Capabilities
from inference.domain.errors import StoreError, UserError
from inference.domain.reference import FromParent, Kept
from inference.domain.spec import Mode
from inference.store.maintenance import DATABASE_NAME

CONNECTION = ".connection"
"""How the key of a platform's problem ends that cannot be reached; see `bot.supervision`."""

ON_PURPOSE = frozenset({"process", "queue"})
"""Reasons that are intended: it starts, stops or drains. Nothing is broken."""

WRITE_SECONDS = 5.0
"""After this the database counts as one that cannot be written."""


async def unready(services: Services, locale: str) -> dict[str, str]:
    """Return a sentence by key for each reason why this process is not ready.

    What troubles a part only, such as one workspace or the backups, is no reason.
    """
    problems = services.health.problems.items()
    reasons = {key: problem for key, problem in problems if key.endswith(CONNECTION)}
    if not services.health.started:
        reasons["process"] = text("health.not_ready", locale)
    if services.jobs.draining:
        reasons["queue"] = text("health.draining", locale)
    if services.jobs.without_worker:
        reasons["worker"] = text("health.no_worker", locale)
    for model in services.installation.models:
        if (error := _unable(model, services)) is not None:
            reasons[f"model.{model.name}"] = error_text(error, locale)
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await services.database.write("probe", _touch)
    except TimeoutError:
        reasons["database"] = text("health.database_slow", locale)
    except StoreError as error:
        reasons["database"] = error_text(error, locale)
    if await services.database.is_full():  # a change that changes nothing would take no room
        full = StoreError("store.full", path=DATABASE_NAME)
        reasons["database"] = error_text(full, locale)
    if (damage := services.database.damage) is not None:
        reasons["database"] = error_text(damage, locale)
    return reasons


def list_problems(services: Services, locale: str) -> dict[str, str]:
    """Return a sentence by key for each known problem, whether it is a reason or not."""
    problems = dict(services.health.problems)
    if services.jobs.paused:
        problems["queue.paused"] = text("card.paused", locale)
    return problems


def _unable(model: Capabilities, services: Services) -> UserError | None:
    """Return the error that keeps the workers from even a model's smallest render, or None."""
    installation = services.installation
    if problem := installation.problem(model.name):
        return problem
    resolution, aspect = min(model.sizes, key=lambda key: model.sizes[key].width)
    least = {"resolution": resolution.value, "aspect": aspect.value}
    layer = Layer(name=COMMAND, values={"model": model.name, **least})
    from_words = model.modes & {Mode.TEXT_TO_VIDEO, Mode.TEXT_TO_IMAGE}
    references = {} if from_words else {IMAGE.name: FromParent(Kept.RESULT)}
    try:
        spec = resolve("a", (replace(layer, references=references),), installation).spec
    except UserError:  # no default of this model: nothing is known of its memory
        return None
    try:
        installation.check(spec)
    except UserError as error:
        return error
    return None


async def _touch(connection: aiosqlite.Connection) -> None:
    """Make a write that changes nothing: SQLite takes the lock, or raises."""
    await connection.execute("UPDATE counters SET value = value WHERE name = 'no such counter'")
