import hashlib

import pytest

from inference.domain.errors import EngineError
from inference.domain.render import Manifest
from inference.engines.faults import Fault, FaultKind


@pytest.fixture
def manifest(tmp_path):
    data = b"x" * 100
    (tmp_path / "clip.mp4").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Manifest(name="clip.mp4", size=100, sha256=digest, width=2, height=2, frames=1)


@pytest.mark.parametrize(("text", "attempt", "strikes"), [
    ("", 1, False),
    ("error", 1, True),
    ("error", 99, True),
    ("error:1", 1, True),
    ("error:1", 2, False),
    ("error:3", 3, True),
])  # fmt: skip
def test_a_count_limits_the_fault_to_the_first_attempts(text, attempt, strikes):
    fault = Fault.parse(text).at_attempt(attempt)

    assert (fault.kind is not FaultKind.NONE) is strikes


@pytest.mark.parametrize("text", ["explode", "crash:x", "crash:1:2", "CRASH"])
def test_an_unknown_fault_is_refused(text):
    with pytest.raises(EngineError, match=r"model\.bad_option"):
        Fault.parse(text)


@pytest.mark.parametrize("kind", [FaultKind.NONE, FaultKind.SILENT, FaultKind.LIE])
def test_faults_of_another_place_leave_the_step_alone(kind):
    Fault(kind=kind).at_step()


@pytest.mark.parametrize(("kind", "transient"), [("error", False), ("transient", True)])
def test_the_engines_own_failures_say_whether_another_attempt_makes_sense(kind, transient):
    with pytest.raises(EngineError) as caught:
        Fault.parse(kind).at_step()
    assert caught.value.transient is transient


def test_a_lie_leaves_the_file_and_changes_the_report(manifest, tmp_path):
    reported = Fault.parse("lie").at_report(manifest, tmp_path)

    assert reported.sha256 != manifest.sha256
    assert (tmp_path / "clip.mp4").stat().st_size == manifest.size


def test_a_cut_file_is_shorter_than_reported(manifest, tmp_path):
    assert Fault.parse("truncate").at_report(manifest, tmp_path) == manifest
    assert (tmp_path / "clip.mp4").stat().st_size == 50


def test_a_missing_file_is_reported_all_the_same(manifest, tmp_path):
    assert Fault.parse("missing").at_report(manifest, tmp_path) == manifest
    assert not (tmp_path / "clip.mp4").exists()
