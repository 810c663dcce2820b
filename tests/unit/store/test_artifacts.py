from __future__ import annotations

from dataclasses import replace

import pytest

from inference.domain.reference import Attached
from inference.domain.render import LATENTS_NAME, Manifest
from inference.media.atomic_files import write_bytes
from inference.store.artifacts import Artifacts
from tests.fakes.orders import a_job, a_spec

MANIFEST = Manifest(name="clip.mp4", size=1, sha256="0", width=2, height=2, frames=1)


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path)


@pytest.fixture
def job():
    return a_job(attempt=2, manifest=MANIFEST, spec=a_spec(image="image.png"))


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_a_finished_file_is_that_of_the_newest_attempt(artifacts, job):
    write(artifacts.attempt_directory(replace(job, attempt=1)) / "clip.mp4")
    assert artifacts.find_finished(job) is None

    write(artifacts.attempt_directory(job) / "clip.mp4")
    assert artifacts.find_finished(job) == artifacts.attempt_directory(job) / "clip.mp4"


def test_a_job_without_a_manifest_has_no_finished_file(artifacts, job):
    write(artifacts.attempt_directory(job) / "clip.mp4")

    assert artifacts.find_finished(replace(job, manifest=None)) is None


def test_the_reference_image_lies_with_what_came_in(artifacts, job):
    assert artifacts.input(job, job.spec.image) == artifacts.input_directory(job.id) / "image.png"
    assert artifacts.input(job, Attached("https://cdn.example/fox.png")) is None
    assert artifacts.input(job, None) is None


def test_removing_takes_everything_of_one_job_and_nothing_of_another(artifacts, job):
    other = a_job()
    write(artifacts.attempt_directory(job) / "clip.mp4")
    write(artifacts.input(job, job.spec.image))
    write(artifacts.attempt_directory(other) / "clip.mp4")
    assert sorted(artifacts.job_ids()) == sorted([job.id, other.id])

    artifacts.remove(job.id)
    artifacts.remove(job.id)

    assert artifacts.job_ids() == [other.id]


def test_without_any_files_there_are_none(artifacts):
    assert artifacts.job_ids() == []


def test_latents_are_those_of_the_newest_attempt_while_they_are_kept(artifacts, job):
    kept = replace(job, manifest=replace(MANIFEST, latents_sha256="0"))
    path = artifacts.attempt_directory(kept) / LATENTS_NAME
    assert artifacts.latents(kept) is None

    write(path)
    assert artifacts.latents(kept) == path
    assert artifacts.latents(job) is None, "its manifest knows of none"

    artifacts.remove(job.id)
    assert artifacts.latents(kept) is None


def test_a_sheet_is_removed_but_not_one_that_was_drawn_anew_meanwhile(artifacts, job):
    other = replace(job, id="BBBBBBBBBB")
    for each in (job, other):
        write(artifacts.sheet(each))
    there = artifacts.sheets([job, other, replace(job, id="CCCCCCCCCC")])
    write_bytes(artifacts.sheet(other), b"without it")

    artifacts.remove_sheets(there)
    artifacts.remove_sheets(there)

    assert not artifacts.sheet(job).exists()
    assert artifacts.sheet(other).read_bytes() == b"without it"


def test_what_killed_attempts_left_goes_and_the_rest_stays(artifacts, job):
    parts = [
        artifacts.attempt_directory(replace(job, attempt=n)) / "clip.mp4.part" for n in (1, 10)
    ]
    kept = [
        artifacts.input_directory(job.id) / "image.png",
        artifacts.attempt_directory(job) / "clip.mp4",
        artifacts.attempt_directory(replace(job, attempt=3)) / "clip.mp4",
    ]
    for path in (*parts, *kept):
        write(path)
    artifacts.remove_earlier(replace(job, attempt=2))
    assert not parts[0].parent.exists()
    assert parts[1].exists()
    assert all(path.exists() for path in kept)
    artifacts.remove_earlier(replace(job, id="JOB0000009"))
