"""Between rows and objects."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict

from inference.jobs.audience import Audience
from inference.jobs.model import Failure, Job, JobState, Requester
from inference.jobs.presentation import Presentation
from inference.safety.base import Verdict
from inference.spec import Spec
from inference.workers.base import Manifest


def job_from_row(row: sqlite3.Row) -> Job:
    """Rebuild a job from `SELECT * FROM jobs`."""
    return Job(
        id=row["id"],
        state=JobState(row["state"]),
        spec=Spec.from_dict(json.loads(row["spec"])),
        origins=json.loads(row["origins"]),
        tenant=row["tenant"],
        requester=Requester(id=row["requester_id"], name=row["requester_name"]),
        platform=row["platform"],
        address=json.loads(row["address"]),
        created_at=row["created_at"],
        cost=row["cost"],
        attempt=row["attempt"],
        losses=row["losses"],
        sequence=row["sequence"],
        key=row["key"],
        parent=row["parent"],
        image=row["image"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        cancel_requested_at=row["cancel_requested_at"],
        removed_at=row["removed_at"],
        failure=Failure(**json.loads(row["failure"])) if row["failure"] else None,
        manifest=Manifest.from_dict(json.loads(row["manifest"])) if row["manifest"] else None,
        presentation=Presentation.from_dict(json.loads(row["presentation"])),
        notes=tuple(json.loads(row["notes"])),
        review=bool(row["review"]),
        audience=Audience(channel=row["channel"], private=bool(row["private"])),
        person=row["person"],
        verdict=Verdict.from_dict(json.loads(row["verdict"])),
    )


def row_from_job(job: Job) -> dict[str, object]:
    """Return the columns of a job for `INSERT`."""
    return {
        "id": job.id,
        "state": job.state.value,
        "spec": json.dumps(job.spec.as_dict()),
        "origins": json.dumps(job.origins),
        "tenant": job.tenant,
        "requester_id": job.requester.id,
        "requester_name": job.requester.name,
        "platform": job.platform,
        "address": json.dumps(job.address),
        "created_at": job.created_at,
        "cost": job.cost,
        "attempt": job.attempt,
        "losses": job.losses,
        "sequence": job.sequence,
        "key": job.key,
        "parent": job.parent,
        "image": job.image,
        "queued_at": job.queued_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "cancel_requested_at": job.cancel_requested_at,
        "removed_at": job.removed_at,
        "failure": dump_failure(job.failure),
        "manifest": dump_manifest(job.manifest),
        "presentation": json.dumps(job.presentation.as_dict()),
        "notes": json.dumps(job.notes),
        "review": job.review,
        "channel": job.audience.channel,
        "private": job.audience.private,
        "person": job.person,
        "verdict": dump_verdict(job.verdict),
    }


def dump_failure(failure: Failure | None) -> str | None:
    """Return the JSON column of a failure."""
    return None if failure is None else json.dumps(asdict(failure), default=str)


def dump_manifest(manifest: Manifest | None) -> str | None:
    """Return the JSON column of a manifest."""
    return None if manifest is None else json.dumps(manifest.as_dict())


def dump_verdict(verdict: Verdict) -> str:
    """Return the JSON column of a verdict."""
    return json.dumps(verdict.as_dict())
