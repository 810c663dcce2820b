"""Moves caches of libraries into the data directory where the home directory cannot be used.

A container often runs under a number without a name, without a home directory, or on a read-only
file system. Model downloads, compiled kernels and temporary files still need a place.
"""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

FOLDER = "cache"
"""In the data directory."""

VARIABLES = {
    "XDG_CACHE_HOME": "",
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}
"""What each library reads, and the sub-folder it gets."""


def provide_caches(data_directory: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Point libraries to the data directory if their usual cache is not writable.

    Variables that are set already are left alone.

    Args:
        data_directory: Of this Rushes; its `cache` folder is made on demand.
        environ: Of this process and its children.
    """
    folder = data_directory.resolve() / FOLDER
    if not _usable(_home(environ)):
        for name, part in VARIABLES.items():
            environ.setdefault(name, str(folder / part))
    try:
        getpass.getuser()
    except (KeyError, OSError):
        environ.setdefault("LOGNAME", f"user{os.getuid()}")  # compilers ask for a name
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")


def _home(environ: MutableMapping[str, str]) -> Path | None:
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        return None


def _usable(home: Path | None) -> bool:
    """Whether caches can live in a home directory: in its `.cache`, or in one that can be made."""
    if home is None or not home.is_absolute():
        return False
    cache = home / ".cache"
    return os.access(cache if os.path.exists(cache) else home, os.W_OK | os.X_OK)  # noqa: PTH110 - pathlib's raises behind a closed one
