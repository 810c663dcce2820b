"""/rushes forget-me and my-data: export and erasure of what is stored about a person."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from commands.context import Call, Command, rushes_command
from commands.options import CONFIRM
from commands.policy.erasures import ErasureRequest
from commands.text import replies
from commands.text.card import Attachment, Card
from commands.text.messages import text
from inference.domain.errors import RushesError
from inference.domain.job import Job

DATA_NAME = "my-data.json"

KEEP_SECONDS = 3600.0
"""How long the export is kept, for the chat to upload it."""

_PREFIX = "rushes-data-"

_MOST_JOBS = 100_000

_copies: dict[Path, tuple[str, str]] = {}
"""Folder of each file that this process made, and whose it is: tenant and person."""


async def forget_me(call: Call) -> Card:
    """Delete what the caller made and set, after confirmation."""
    said = str(call.options.get(CONFIRM.name, call.text)).strip().casefold()
    if said not in CONFIRM.choices:
        return replies.note("forget.ask", call.locale)
    tenant, person = call.channel.tenant, call.caller.id
    await asyncio.to_thread(
        _remove, [f for f, owner in _copies.items() if owner == (tenant, person)]
    )
    erasure = ErasureRequest(
        tenant=tenant,
        person=call.caller.requester,
        platform=call.channel.platform,
        address=call.channel.address,
        locale=call.locale,
    )
    await call.policy.erasures.begin(erasure)  # so that a restart does not interrupt it
    try:
        await call.policy.forget(tenant, person)
        count = await call.jobs.forget(tenant=tenant, requester_id=person)
    except RushesError:  # the person sees the error; no later start erases after all
        await call.policy.erasures.settle(erasure.id)
        raise
    if await call.jobs.is_erasing(tenant=tenant, requester_id=person):
        await call.policy.erasures.mark_erased(erasure.id)
        return replies.note("forget.under_way", call.locale, count=count)
    await call.policy.erasures.settle(erasure.id)
    return replies.note("forget.done", call.locale, count=count)


async def my_data(call: Call) -> Card:
    """Send the caller everything that is stored about them, as a private file."""
    tenant, person = call.channel.tenant, call.caller.id
    jobs = await call.jobs.recent(tenant, person, limit=_MOST_JOBS)
    presets = await call.policy.presets.visible(tenant, person)
    data = {
        "person": {"id": person, "name": call.caller.name, "tenant": tenant},
        "jobs": [_export_job(job) for job in jobs],
        "settings": await call.policy.settings.personal(tenant, person),
        "presets": {one.name: dict(one.options) for one in presets if one.owner == person},
    }
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # its owner's only: mode 0700
    _copies[folder] = (tenant, person)
    asyncio.get_running_loop().call_later(KEEP_SECONDS, _remove, [folder])
    path = folder / DATA_NAME
    await asyncio.to_thread(_write, path, data)
    about = text("my_data.about", call.locale)
    attachment = Attachment(path=path, name=DATA_NAME, description=about)
    return replace(
        replies.note("my_data.here", call.locale, count=len(jobs)), attachment=attachment
    )


def _export_job(job: Job) -> dict[str, Any]:
    """Return the stored data of a job, with the names of the database."""
    return {
        "id": job.id,
        "state": job.state.value,
        "name": job.requester.name,
        "spec": job.spec.as_dict(),
        "address": job.address,
        "audience": asdict(job.audience),
        "asked_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "parent": job.parent,
        "file": None if job.manifest is None else job.manifest.name,
        "failure": None if job.failure is None else job.failure.code,
    }


def remove_copies() -> None:
    """Remove this process's exports."""
    _remove(list(_copies))


async def expire_copies(*, every: float = KEEP_SECONDS) -> None:
    """Remove the exports of processes that ended, an hour after they were made."""
    while True:
        await asyncio.to_thread(_remove_expired)
        await asyncio.sleep(every)


def _remove_expired() -> None:
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            found = folder.lstat()
            if found.st_uid == os.getuid() and found.st_mtime < time.time() - KEEP_SECONDS:
                _remove([folder])


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # never what a link leads to
        _copies.pop(folder, None)


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False), encoding="utf-8")


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    # What was kept of people they can always take back.
    command = partial(rushes_command, open_to_all=True)
    return (
        command(name="forget-me", handler=forget_me, options=(CONFIRM,)),
        command(name="my-data", handler=my_data),
    )
