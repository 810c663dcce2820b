"""Paths of the machine in what members read."""

from dataclasses import replace

import pytest

from commands.text import cards, replies
from commands.text.messages import error_text, without_paths
from inference.domain.errors import EngineError, StoreError, UserError, UserErrors
from inference.domain.job import Failure, JobState
from tests.fakes.orders import a_job

KIND = "paths"
HOME = "/srv/secret-customer"

ERRORS = {
    "a full disk while accepting": StoreError("store.full", path=f"{HOME}/data/rushes.sqlite3"),
    "a damaged database": StoreError("store.corrupt", path=f"{HOME}/data/rushes.sqlite3"),
    "a disk that fails": StoreError(
        "store.unusable", path=f"{HOME}/data", problem=f"Input/output error: '{HOME}/data/x'"
    ),
    "a clip that cannot be read": EngineError(
        "file.unreadable", path=f"{HOME}/data/jobs/X/1/c.mp4"
    ),
    "weights that are missing": EngineError("checkpoint.missing", source=f"{HOME}/weights/vae"),
    "weights that are broken": EngineError(
        "checkpoint.unreadable",
        source=f"{HOME}/weights/vae/config.json",
        reason=f"[Errno 13] Permission denied: '{HOME}/weights/vae/config.json'",
    ),
    "weights that may not be read": EngineError(
        "checkpoint.no_permission", source="vae", path=f"{HOME}/weights/vae/model.safetensors"
    ),
    "two errors at once": UserErrors(
        [UserError("output.not_writable", path=f"{HOME}/a"), StoreError("store.full", path=HOME)]
    ),
}


@pytest.mark.parametrize("locale", ["en", "ko"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(error, marks=pytest.mark.attack(KIND, f"read where the machine keeps: {what}"))
        for what, error in ERRORS.items()
    ],
)
def test_members_see_no_path_of_the_machine(error, locale):
    card = replies.error(error, locale)
    assert "/srv" not in str(card.lines)
    assert "secret-customer/" not in str(card.lines)
    assert HOME in error_text(error, locale)  # operators do


@pytest.mark.attack(KIND, "read a path in the failure of a job")
def test_a_failed_job_names_no_path_of_the_machine():
    failure = Failure(code="file.unreadable", params={"path": f"{HOME}/data/jobs/X/1/clip.mp4"})
    job = replace(a_job(), state=JobState.FAILED, failure=failure)
    for card in (cards.failure(job, "en"), cards.status(job, cards.JobStatus(now=0.0), "en")):
        assert "/srv" not in str(card)
        assert "clip.mp4" in str(card)


@pytest.mark.parametrize(
    "words",
    ["hpcai-tech/OpenSora-VAE-v1.3", "https://example.org/a/b", "Try /rushes queue", "16/9", "a/b"],
)
def test_what_is_no_path_stays(words):
    given = {"source": words, "command": "/rushes queue", "count": 3}
    assert without_paths("x", given) == given
