"""Checks of what is on disk: weights, the data folder, the database and its backups."""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from bot import factories
from bot.config.sections import Config
from bot.doctor.findings import Finding, fail, ok, report_error, warn
from bot.factories import backup_folder
from inference.domain.errors import StoreError, UserError
from inference.engines import weights
from inference.engines.entry import ModelEntry
from inference.engines.registry import WEIGHTS_CODES
from inference.opensora.files import CheckpointError
from inference.store.backups import HOURS, newest, open_backup
from inference.store.data_directory import (
    NETWORK_FILE_SYSTEMS,
    check_folder,
    check_place,
    file_system,
    open_to_others,
    owner,
    write_into,
)
from inference.store.maintenance import DATABASE_NAME, check

LATE_SECONDS = 3 * HOURS * 3600
"""Age of the newest backup that is worth a warning: two were missed."""

AHEAD_SECONDS = 600.0
"""How far in the future a backup may be from, because two clocks differ a little."""


def model_weights(config: Config) -> Iterator[Finding]:
    """Check that the weights of each installed model are complete and what the hub has."""
    for name in config.models.installed:
        check_name = f"weights.{name}"
        try:
            entry = factories.models(config).entry(name)
            entry.check_files()
            entry.check_parts()
            unknown = sum(
                weights.verify_files(each, weights.folder(each, config.models.directory))
                for each in entry.checkpoints
            )
        except UserError as error:
            if error.code.startswith(WEIGHTS_CODES):  # others are told with the configuration
                yield report_error(check_name, factories.locate_problem(config, name, error))
        except CheckpointError as error:
            missing = UserError("model.no_weights", model=name)
            yield report_error(
                check_name, missing if error.code == "checkpoint.missing" else error.for_model(name)
            )
        else:
            yield from _complete(check_name, name, entry, unknown)


def _complete(check_name: str, name: str, entry: ModelEntry, unknown: int) -> Iterator[Finding]:
    """Say how far the weights of a model were checked.

    Args:
        check_name: Of the findings.
        name: Of the model.
        entry: Of the model.
        unknown: How many files have no checksum.
    """
    named = entry.values.get("path")
    if named is not None:
        yield ok(check_name, "doctor.weights.by_path", model=name, path=str(named))
    numbers = {"model": name, "count": len(entry.checkpoints)}
    if unknown:
        yield ok(check_name, "doctor.weights.unverified", **numbers, files=unknown)
    elif entry.checkpoints:
        yield ok(check_name, "doctor.weights.fine", **numbers)
    elif named is None:
        yield ok(check_name, "doctor.weights.shipped", model=name)


def data_folder(config: Config) -> Iterator[Finding]:
    """Check that the data folder can be used, without making it."""
    folder = config.bot.data_dir
    if not _there(folder):
        above = _above(folder)
        obstacle = _obstacle(above)
        if obstacle == errno.ENOTDIR:
            yield report_error("data", StoreError("store.not_a_folder", path=str(above)))
        elif obstacle:
            yield fail(
                "data",
                "doctor.data.no_room",
                path=str(folder),
                above=str(above),
                owner=owner(above),
                user=os.geteuid(),
            )
        elif (error := _refusal(folder)) is not None:
            yield report_error("data", error)
        elif not folder.absolute().parent.exists():
            yield warn("data", "doctor.data.new_far", path=str(folder), above=str(above))
        else:
            yield ok("data", "doctor.data.new", path=str(folder))
        return
    try:
        check_folder(folder)
    except StoreError as error:
        yield report_error("data", error)
        return
    found = []
    if (kind := file_system(folder)) in NETWORK_FILE_SYSTEMS:
        found.append(warn("data", "doctor.data.network", path=str(folder), kind=kind))
    # Access of the group is left to the operator: containers under any number need it.
    if (seen := open_to_others(folder)) is not None:
        command = shlex.join(["chmod", "o-rwx", str(seen)])
        found.append(warn("data", "doctor.data.open", path=str(seen), command=command))
    yield from found or [ok("data", "doctor.data.fine", path=str(folder))]


def database(config: Config) -> Iterator[Finding]:
    """Check the database, if there is one."""
    if not (config.bot.data_dir / DATABASE_NAME).exists():
        yield ok("database", "doctor.database.new")
        return
    try:
        found = check(config.bot.data_dir)
    except StoreError as error:
        yield report_error("database", error)
        return
    if found.problems:
        yield fail("database", "cli.db.damaged")
    elif found.damaged or found.quarantined:
        count = len(found.damaged) + len(found.quarantined)
        yield warn("database", "doctor.database.rows", count=count)
    elif found.obstacle is not None:
        yield report_error("database", found.obstacle)
    elif found.schema < found.latest:
        yield ok("database", "doctor.database.older", schema=found.schema, latest=found.latest)
    else:
        numbers = {"schema": found.schema, "count": found.jobs, "unfinished": found.unfinished}
        yield ok("database", "doctor.database.fine", **numbers)


def backups(config: Config, now: float | None = None) -> Iterator[Finding]:
    """Check the age of the newest backup."""
    folder = backup_folder(config)
    try:
        above = _above(folder)
        number, last = _obstacle(above), newest(folder)
        if config.backup.keep and not number:
            write_into(above)  # root may write to /proc, which takes nothing
    except OSError as error:
        number, last = error.errno or errno.EIO, None
    if number and config.backup.keep:
        problem = os.strerror(number)
        yield report_error(
            "backup", StoreError("store.backup_failed", path=str(folder), problem=problem)
        )
        return
    if not (config.bot.data_dir / DATABASE_NAME).exists():
        return
    if config.backup.keep == 0:
        yield warn("backup", "doctor.backup.off")
        return
    if last is None:
        yield warn("backup", "doctor.backup.none", path=str(folder))
        return
    if (hindrance := _unrestorable(last)) is not None:
        yield hindrance
        return
    age = (time.time() if now is None else now) - last.stat().st_mtime
    params = {"path": str(last), "age": max(abs(age), 1.0)}
    if age > LATE_SECONDS:
        yield warn("backup", "doctor.backup.old", **params)
    elif age < -AHEAD_SECONDS:
        yield warn("backup", "doctor.backup.ahead", **params)
    else:
        yield ok("backup", "doctor.backup.fine", **params)


def _unrestorable(file: Path) -> Finding | None:
    """Return why `rushes db restore` would not take a backup, or None if it would.

    Only one that is worth nothing is called damaged, because that sentence says to delete it.
    """
    try:
        with open_backup(file):
            return None
    except StoreError as error:
        if error.code in {"store.backup_damaged", "store.no_backup"}:
            return fail("backup", "doctor.backup.damaged", path=str(file))
        return report_error("backup", error)


def _there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises behind a closed folder


def _refusal(folder: Path) -> StoreError | None:
    """Return why a folder that is not there could not be made."""
    try:
        check_place(folder)
    except StoreError as error:
        return error
    return None


def _above(folder: Path) -> Path:
    """Return the folder, or what is there of the path to it."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if _there(path))


def _obstacle(folder: Path) -> int:
    """Return the `errno` that making something in a folder would meet; 0: none is seen."""
    if not folder.is_dir():
        return errno.ENOTDIR
    return 0 if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES
