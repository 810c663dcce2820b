from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.config.caches import VARIABLES, provide_caches

ROOT = Path(__file__).parents[3]


def test_a_home_that_works_is_left_alone(tmp_path):
    environ = {"HOME": str(tmp_path)}
    provide_caches(tmp_path / "data", environ)
    assert environ == {"HOME": str(tmp_path)}


@pytest.mark.parametrize("home", ["/proc/nothing", "/nonexistent", "relative"])
def test_without_a_usable_home_caches_live_in_the_data_folder(tmp_path, home):
    environ = {"HOME": home, "HF_HOME": "/models"}
    provide_caches(tmp_path / "data", environ)
    assert environ["HF_HOME"] == "/models"
    for name in set(VARIABLES) - {"HF_HOME"}:
        assert Path(environ[name]).is_relative_to(tmp_path / "data" / "cache")


@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
def test_a_number_without_a_name_and_home_can_run_everything(tmp_path):
    """A container under an arbitrary number: no passwd entry, no HOME, nothing else writable."""
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    data.chmod(0o777)
    code = (
        "import getpass, pathlib, tempfile, os\n"
        "from bot.config.caches import provide_caches\n"
        "os.setgroups([])\n"
        "os.setgid(12345)\n"
        "os.setuid(12345)\n"  # only now: nobody else may read this Python
        f"provide_caches(pathlib.Path({str(data)!r}))\n"
        "print(getpass.getuser(), os.environ['HF_HOME'], tempfile.gettempdir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"HOME": "/"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[:2] == ["user12345", str(data / "cache" / "huggingface")]
