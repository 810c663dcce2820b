import hashlib
from dataclasses import replace

import pytest

from inference.domain.render import LATENTS_NAME, Manifest
from inference.workers.slot import verify_manifest


def describe(path):
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return Manifest(name=path.name, size=len(data), sha256=digest, width=2, height=2, frames=1)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"some frames")
    return path


def test_an_honest_manifest_holds(clip):
    assert verify_manifest(describe(clip), clip.parent) is None


@pytest.mark.parametrize(
    ("change", "reason"), [({"size": 3}, "size"), ({"sha256": "0" * 64}, "sha256")]
)
def test_what_does_not_match_is_named(clip, change, reason):
    assert verify_manifest(replace(describe(clip), **change), clip.parent) == reason


@pytest.mark.parametrize(
    "name", ["../clip.mp4", "/etc/passwd", "a/b.mp4", "", ".", "..", "link.mp4", "folder"]
)
def test_a_manifest_must_name_a_plain_file_of_the_attempt(tmp_path, name):
    directory = tmp_path / "1"
    (directory / "folder").mkdir(parents=True)
    (tmp_path / "clip.mp4").write_bytes(b"")
    (directory / "link.mp4").symlink_to(tmp_path / "clip.mp4")
    manifest = Manifest(name=name, size=0, sha256="0", width=2, height=2, frames=1)

    assert verify_manifest(manifest, directory) == "file"


@pytest.mark.parametrize("data", [b"other latents", None], ids=["changed", "missing"])
def test_what_was_kept_must_be_there_too(clip, data):
    path = clip.with_name(LATENTS_NAME)
    path.write_bytes(b"latents")
    manifest = replace(describe(clip), latents_sha256=hashlib.sha256(b"latents").hexdigest())
    assert verify_manifest(manifest, clip.parent) is None

    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)

    assert verify_manifest(manifest, clip.parent) == ("file" if data is None else "latents")
