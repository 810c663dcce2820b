from __future__ import annotations

import dataclasses
import json

import pytest

from inference.domain.job import ENDED, TRANSITIONS, WAITING, JobState, new_job_id
from inference.domain.outbox import ActKind
from inference.domain.spec import Spec
from inference.store.codec.rows import job_from_row, row_from_job
from tests.fakes.orders import a_job, a_spec


def test_every_state_says_where_it_may_go():
    assert set(TRANSITIONS) == set(JobState)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_nothing_leaves_an_end(state):
    assert TRANSITIONS[state] == frozenset()


@pytest.mark.parametrize("state", sorted(set(JobState) - ENDED))
def test_every_unfinished_state_leads_to_an_end(state):
    reached, todo = set(), [state]
    while todo:
        reached.add(current := todo.pop())
        todo += TRANSITIONS[current] - reached

    assert reached & ENDED


@pytest.mark.parametrize("state", sorted(WAITING))
def test_whoever_waits_can_still_change_their_mind(state):
    assert JobState.CANCELLED in TRANSITIONS[state]


@pytest.mark.parametrize("state", [JobState.FINISHING, JobState.DELIVERING])
def test_what_is_finished_cannot_be_cancelled(state):
    assert JobState.CANCELLED not in TRANSITIONS[state]


def test_job_ids_are_long_enough_and_leave_out_what_people_mix_up():
    ids = {new_job_id() for _ in range(2000)}

    assert len(ids) == 2000
    assert {len(job_id) for job_id in ids} == {10}
    assert not set("".join(ids)) & set("01OILU")


def test_an_outbox_key_fits_into_a_discord_nonce():
    assert max(len(f"{new_job_id()}:{kind}") for kind in ActKind) <= 25


def test_a_job_is_not_changed_in_place():
    job = a_job()

    with pytest.raises(dataclasses.FrozenInstanceError):
        job.state = JobState.DONE


def test_rows_of_earlier_versions_stay_readable():
    new = ("last", "latents", "after_frames")
    spec = a_spec(loops=2)
    row = {name: value for name, value in spec.as_dict().items() if name not in new}
    old = {"name": "clip.mp4", "size": 1, "sha256": "0", "width": 2, "height": 2, "frames": 49}

    assert Spec.from_dict(row) == spec
    flat = {**row, **row.pop("options")}  # before models had options of their own
    for name in ("options", "texts", "file_fps", "overlap_frames"):
        flat.pop(name, None)
    assert Spec.from_dict(flat) == spec
    stored = json.dumps({**old, "timings": {"render": 2.0, "total": 3.0}})
    manifest = job_from_row({**row_from_job(a_job()), "manifest": stored}).manifest
    assert (manifest.latents_sha256, manifest.forwards, manifest.peak_bytes) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({"frames": 1}, 1),
        ({"frames": 49}, 49),
        ({"frames": 97, "loops": 2}, 177),
        ({"frames": 49, "latents": "latents.bin", "after_frames": 49}, 81),
        ({"frames": 49, "loops": 2, "latents": "latents.bin", "after_frames": 49}, 113),
    ],
)
def test_passes_share_the_frames_they_go_on_from(changes, total):
    assert a_spec(**changes).total_frames == total
