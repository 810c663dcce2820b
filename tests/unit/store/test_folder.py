from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inference.domain.errors import StoreError
from inference.store.data_directory import check_folder, file_system

ROOT = Path(__file__).parents[3]
NOBODY = 65534

CHECK = """
import os
import sys
from pathlib import Path
from inference.domain.errors import StoreError
from inference.store.data_directory import check_folder
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))  # only now: nobody else may read this Python
try:
    check_folder(Path(sys.argv[1]))
except StoreError as error:
    print(error.code, error.params["path"], error.params.get("user"))
"""


def checked_as_nobody(path: Path) -> str:
    """Return what the check says when somebody else's process makes it."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path), str(NOBODY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def open_path():
    """A folder that everybody can reach; those of pytest are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
def test_a_folder_behind_a_closed_one_is_a_sentence(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert checked_as_nobody(closed / "data").startswith("store.closed_above")


def test_a_new_folder_is_made(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match=r"store\.not_a_folder"):
        check_folder(tmp_path / "data")


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs to act as somebody else")
@pytest.mark.parametrize("foreign", [".", "jobs", "jobs/7Q2FK9XDAB", "threads", "rushes.sqlite3"])
def test_a_part_that_belongs_to_somebody_else_is_named_with_the_mend(open_path, foreign):
    data = open_path / "data"
    (data / "jobs" / "7Q2FK9XDAB").mkdir(parents=True)
    (data / "threads").mkdir()
    (data / "rushes.sqlite3").touch()
    for path in (data, *data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o700)
    assert checked_as_nobody(data) == ""
    os.chown(data / foreign, 0, 0)
    assert checked_as_nobody(data) == f"store.no_permission {data / foreign} {NOBODY}"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/clips", "nfs4"), ("/data", "nfs4"), ("/database", "ext4"), ("/my data", "9p")],
)
def test_the_file_system_is_that_of_the_innermost_mount(tmp_path, path, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "nonsense\n"
        "40 21 0:35 / /data rw shared:2 - nfs4 nas:/export rw\n"
        "41 21 0:36 / /my\\040data rw - 9p share rw\n"
    )
    assert file_system(Path(path), mounts) == kind
    assert file_system(Path(path), tmp_path / "missing") == ""
