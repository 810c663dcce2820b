from __future__ import annotations

import dataclasses

import pytest

from inference.jobs.model import ENDED, TRANSITIONS, WAITING, JobState, new_job_id
from inference.store.outbox import ActKind
from tests.fakes.orders import a_job


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
