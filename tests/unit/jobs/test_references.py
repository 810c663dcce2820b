"""References: their JSON form, old rows, and names that are none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest

from inference.domain.job import JobState
from inference.domain.reference import Attached, FromParent, Kept, Prepared, read_reference
from inference.domain.spec import Spec
from tests.fakes.bench import Bench
from tests.fakes.executor import CLIP
from tests.fakes.orders import a_spec

OLD = Path(__file__).parents[1] / "store" / "samples" / "schema_12.sql"


@pytest.mark.parametrize(
    "reference",
    [
        Attached("https://cdn.example/fox.png"),
        Attached("parent:result"),  # a file may be called so
        *map(FromParent, Kept),
        Prepared("image.png"),
        None,
    ],
)
def test_a_reference_survives_its_json_form(reference):
    spec = Spec.from_dict(
        json.loads(json.dumps(a_spec().as_dict() | {"image": reference and asdict(reference)}))
    )
    assert spec.image == reference
    assert Spec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize(
    "data",
    [
        {"name": "../../etc/passwd"},
        {"name": ""},
        {"kind": "everything"},
        {"path": "x"},
        {"url": 7},
        7,
        ["image.png"],
    ],
)
def test_what_is_no_reference_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        read_reference(data)


async def test_jobs_of_version_0_1_keep_what_they_start_from(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "rushes.sqlite3")) as connection:
        connection.executescript(OLD.read_text())
    bench = Bench(directory=tmp_path)
    inputs = tmp_path / "jobs" / "PREPARED01" / "input"
    inputs.mkdir(parents=True)
    for name in ("image.png", "last.png"):
        (inputs / name).write_bytes(b"clean")
    latents = tmp_path / "jobs" / "EXTENDED02" / "input" / "latents.bin"
    latents.parent.mkdir(parents=True)
    latents.write_bytes(b"latents")
    async with bench.open() as core:
        queued = await core.jobs.get("PREPARED01", tenant="guild:a")
        assert (queued.spec.image, queued.spec.last) == (
            Prepared("image.png"),
            Prepared("last.png"),
        )
        assert core.artifacts.input(queued, queued.spec.image).read_bytes() == b"clean"
        extended = await core.jobs.get("EXTENDED02", tenant="guild:a")
        assert core.artifacts.input(extended, extended.spec.latents) == latents
        # Their parent has made nothing, so that these end with a sentence.
        for job_id, code in (("FROMSTILL1", "image.expired"), ("EXTENDED01", "latents.expired")):
            refused = await bench.reached(job_id, JobState.REFUSED)
            assert refused.failure.code == code
        refused = await bench.reached("ATTACHED01", JobState.REFUSED)  # no Slack is here
        assert refused.spec.image == Attached("https://cdn.example/fox.png")
        assert refused.failure.code == "image.fetch_failed"


async def test_a_finished_draft_starts_from_the_first_frame_of_its_own_clip(bench, core):
    draft = await bench.submit(draft=True)
    await bench.executor.started()
    bench.executor.finish()
    await bench.reached(draft.id, JobState.DELIVERING)
    job = await bench.submit(image=FromParent(Kept.FIRST_FRAME), parent=draft.id)
    await bench.executor.started()
    image = bench.executor.tasks[-1].image
    assert bench.executor.tasks[-1].job_id == job.id
    assert image.read_bytes() == b"first frame of " + CLIP
