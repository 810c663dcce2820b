"""Packages of others, installed by pip into a folder, with nothing fetched from anywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "examples" / "plugins" / "style"


def install(package: Path, folder: Path) -> Path:
    """Install a package as `pip install` would, and return the folder to put on the path."""
    source, site = folder / "source" / package.name, folder / f"site-{package.name}"
    shutil.copytree(package, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--disable-pip-version-check", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*command, "--target", str(site), str(source)], check=True)
    return site
