import pytest

from inference.domain.errors import EngineError
from inference.media.atomic_files import part_file, write_bytes


def test_the_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "clip.mp4"
    with part_file(target) as part:
        part.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, PermissionError])
def test_any_error_leaves_the_old_file_and_no_part(tmp_path, error):
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old")

    def fail_midway():
        with part_file(target) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_midway()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_said_in_our_words(tmp_path):
    (tmp_path / "still.jpg.part").symlink_to("/dev/full")
    with pytest.raises(EngineError) as caught:
        write_bytes(tmp_path / "still.jpg", b"x" * 100)
    assert caught.value.code == "disk.full"
    assert not caught.value.transient
    assert list(tmp_path.iterdir()) == []


def test_a_part_left_by_a_crash_is_overwritten(tmp_path):
    (tmp_path / "a.png.part").write_bytes(b"much longer than the new content")
    write_bytes(tmp_path / "a.png", b"new")
    assert (tmp_path / "a.png").read_bytes() == b"new"
