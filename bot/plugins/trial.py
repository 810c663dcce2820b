"""Import trial: every plugin is imported in a child process before the bot does it.

A module that hangs, exits or crashes at import ends its child only. What went well is remembered
with the state of its files, so that the next start need not try it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from bot.plugins.trial_child import READY
from inference.media.atomic_files import write_bytes
from inference.plugins.package import Package, Point
from inference.plugins.problem import PluginError, Problem
from inference.workers.environment import command

SECONDS = 10.0
"""That an import may take, all entry points of a package together."""

START_SECONDS = 60.0
"""That the child may take to start on a busy machine."""

LAST_WORDS_SECONDS = 1.0
"""That what a child said may take to be read after its end."""

REMEMBERED = 200
"""Packages in the file, those of other environments among them."""

_SUFFIXES = frozenset({".py", ".so", ".po", ".toml", ".txt", ".json"})

_tried: dict[str, Mapping[Point, Problem]] = {}
"""What this process found, by the state of the package; a config is read more than once."""


def try_packages(packages: Sequence[Package]) -> dict[Point, Problem]:
    """Return the problems of importing packages, by entry point; all are tried at once."""
    if not packages:
        return {}
    states = {package.name: state(package) for package in packages}
    fine = _load_passed()
    pending = [
        package
        for package in packages
        if states[package.name] not in fine and states[package.name] not in _tried
    ]
    if pending:
        with ThreadPoolExecutor(len(pending), thread_name_prefix="plugin-trial") as pool:
            for package, found in zip(pending, pool.map(_try, pending), strict=True):
                _tried[states[package.name]] = found
        _remember([*fine, *(states[one.name] for one in pending if not _tried[states[one.name]])])
    return {
        point: problem
        for package in packages
        for point, problem in _tried.get(states[package.name], {}).items()
    }


def state(package: Package) -> str:
    """Return a hash that changes with the files of a package, with Rushes and with Python."""
    parts = [package.name, package.version, version("rushes"), platform.python_version()]
    parts += [f"{point.group} {point.name} {point.value}" for point in package.points]
    tops = sorted({point.module.partition(".")[0] for point in package.points})
    for file in (file for top in tops for file in _files(top)):
        with contextlib.suppress(OSError):
            found = file.stat()
            parts.append(f"{file} {found.st_mtime_ns} {found.st_size}")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _files(top: str) -> Iterator[Path]:
    """Yield the files of a top-level module, which is not imported."""
    try:
        found = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return
    if found is None:
        return
    for folder in found.submodule_search_locations or ():
        for place, folders, names in os.walk(folder):
            folders.sort()
            yield from (
                Path(place, name) for name in sorted(names) if Path(name).suffix in _SUFFIXES
            )
    if found.origin is not None:
        yield Path(found.origin)


def _try(package: Package) -> Mapping[Point, Problem]:
    """Import a package in a separate child process."""
    wanted = [(point.group, point.name, point.value) for point in package.points]
    path = json.dumps([entry for entry in sys.path if entry])
    *start, _ = command("bot.plugins.trial_child", plugins=True)
    arguments = [*start, path, json.dumps(wanted)]
    child = subprocess.Popen(  # noqa: S603 - our own module
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    said: list[str] = []
    ready = threading.Event()

    def listen(pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                if line.strip() == READY:
                    ready.set()
                else:
                    said.append(line)
        ready.set()

    listener = threading.Thread(
        target=listen, args=(child.stdout,), name="plugin-trial", daemon=True
    )
    listener.start()
    ready.wait(START_SECONDS)
    late = False
    try:
        child.wait(SECONDS)
    except subprocess.TimeoutExpired:
        late = True
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # with what it has started itself
    child.wait()
    # A process that it started and that left its group may hold the pipe for as long as it likes.
    listener.join(LAST_WORDS_SECONDS)
    results: dict[tuple[str, str], Problem | None] = {}
    for line in said:
        group, name, problem = json.loads(line)
        results[group, name] = problem and Problem(**problem)
    ended = f"its import ended the process ({child.returncode})"
    missing = f"it was not imported within {SECONDS:.0f} s" if late else ended
    without = Problem.of(PluginError(missing))
    return {
        (package.name, group, name): problem
        for group, name, _ in wanted
        if (problem := results.get((group, name), without)) is not None
    }


def _file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rushes" / "plugins.json"


def _load_passed() -> list[str]:
    """Return the states of packages whose import went well."""
    try:
        found = json.loads(_file().read_bytes())
    except (OSError, ValueError, RuntimeError):
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _remember(states: Sequence[str]) -> None:
    """Remember them; without a cache, the next start tries again."""
    newest = list(dict.fromkeys(states))[-REMEMBERED:]
    with contextlib.suppress(OSError, RuntimeError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps(newest).encode())
