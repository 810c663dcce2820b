"""Conversion between rows and objects, with validation of every column."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter

from inference.domain.job import ENDED, Audience, Failure, Job, JobState, Requester
from inference.domain.outbox import Act, ActKind, Route
from inference.domain.output_settings import OutputSettings
from inference.domain.render import Manifest
from inference.domain.spec import BLANK, Spec
from inference.domain.verdict import Verdict
from inference.store.codec.validation import member_checks
from inference.store.sqlite.undecodable import UndecodableText

LATEST_TIME = 253_402_300_799.0
"""Unix seconds at the end of the year 9999, the last that calendars know."""

_LONGEST_COST = 1e8
_MOST = 1_000_000
"""Of steps, frames, passes, states and attempts."""

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN_NAME = re.compile(r"(?!\.{1,2}$)[^/\0]{1,255}")

_BROKEN = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What decoding junk may raise."""


class DamagedRow(ValueError):
    """A row of `jobs` that cannot be decoded because of one column."""

    def __init__(self, key: object, column: str) -> None:
        super().__init__(f"jobs {redact_key(key)} {column}")
        self.column = column


def is_safe_id(value: object) -> bool:
    """Return whether something has the form of a job's id, which names a folder."""
    is_text = isinstance(value, str) and not isinstance(value, UndecodableText)
    return is_text and _SAFE_ID.fullmatch(str(value)) is not None


def redact_key(key: object) -> str:
    """Return a row's key for the log, or `?` if it could be text of a person."""
    text = str(key)
    if isinstance(key, str) and not isinstance(key, UndecodableText):
        parts = text.split(":")
        if all(_SAFE_ID.fullmatch(part) for part in parts):
            return text
    return "?"


def _decoded(name: str, row: sqlite3.Row) -> Any:
    value = _COLUMNS[name](row)
    if not _SOUND[name](value):
        raise ValueError(name)
    return value


def job_from_row(row: sqlite3.Row) -> Job:
    """Rebuild a job from `SELECT * FROM jobs`.

    Raises:
        DamagedRow: A column does not hold what it should.
    """
    values = {}
    for name in _COLUMNS:
        try:
            values[name] = _decoded(name, row)
        except _BROKEN as error:
            raise DamagedRow(row["id"], _RENAMED.get(name, name)) from error
    return Job(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A job rebuilt from a damaged row, with substitutes for unreadable columns."""

    job: Job
    damaged: tuple[str, ...]
    """Members of the job that were substituted."""
    ended: bool
    """It had ended before: nobody waits for it."""

    @property
    def reachable(self) -> bool:
        """Whether its requester can still be told."""
        return {"address", "platform", "tenant"}.isdisjoint(self.damaged)


def repair(row: sqlite3.Row, now: float) -> Repaired | None:
    """Rebuild a job from a damaged row; None where not even its id is usable.

    One that had not ended fails; what had ended stays as it is, as far as it can be read.
    """
    values: dict[str, Any] = {}
    damaged = []
    for name in _COLUMNS:
        try:
            values[name] = _decoded(name, row)
        except _BROKEN:
            damaged.append(name)
            substitute = _SUBSTITUTES.get(name)
            values[name] = None if substitute is None else substitute(row)
    if "id" in damaged:
        return None
    known_end = "state" not in damaged and values["state"] in ENDED
    ended = known_end or values["ended_at"] is not None
    if not known_end:
        values |= {"state": JobState.FAILED, "failure": Failure(code="job.damaged")}
    if values["ended_at"] is None:
        values["ended_at"] = now
    return Repaired(job=Job(**values), damaged=tuple(damaged), ended=ended)


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
        "queued_at": job.queued_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "cancel_requested_at": job.cancel_requested_at,
        "removed_at": job.removed_at,
        "failure": dump_failure(job.failure),
        "manifest": dump_manifest(job.manifest),
        "slot": job.slot,
        "device": job.device,
        "presentation": json.dumps(asdict(job.output)),
        "notes": json.dumps(job.notes),
        "review": job.review,
        "channel": job.audience.channel,
        "private": job.audience.private,
        "person": job.person,
        "verdict": dump_verdict(job.verdict),
        "batch": job.batch,
        "number": job.number,
    }


def act_from_row(row: sqlite3.Row) -> Act:
    """Rebuild an act from `SELECT * FROM outbox`."""
    return Act(
        key=row["key"],
        job_id=row["job_id"],
        kind=ActKind(row["kind"]),
        platform=row["platform"],
        wanted=row["wanted"],
        shown=row["shown"],
        route=Route(row["route"]),
        sending=bool(row["sending"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        trace=json.loads(row["trace"]),
        receipt=json.loads(row["receipt"]) if row["receipt"] else None,
    )


def act_repairs(row: sqlite3.Row) -> dict[str, Any]:
    """Return replacements for the invalid columns of an act's row, by column; often empty.

    What has been posted may be forgotten with them: `sending` lets the platform be asked first.
    """
    repairs: dict[str, Any] = {
        name: fresh
        for name, fresh in (("wanted", 1), ("shown", 0), ("attempts", 0))
        if not isinstance(row[name], int) or not 0 <= row[name] <= _MOST
    }
    for name in ("next_at", "created_at"):
        if not isinstance(row[name], float) or not 0 <= row[name] <= LATEST_TIME:
            repairs[name] = 0.0
    if row["route"] not in set(Route):
        repairs["route"] = Route.CHANNEL.value
    if row["sending"] not in {0, 1}:
        repairs["sending"] = 1
    for name, empty in (("trace", "{}"), ("receipt", None)):
        if (row[name] is not None or name == "trace") and not _is_object(row[name]):
            repairs |= {name: empty, "sending": 1}
    if row["kind"] not in set(ActKind):
        kind = str(row["key"]).rpartition(":")[2]
        repairs |= {"kind": kind} if kind in set(ActKind) else {"kind": "notice", "dead": 1}
    return repairs


def _is_object(text: Any) -> bool:
    try:
        found = json.loads(text)
        return isinstance(found, dict) and text == text.encode().decode()
    except (ValueError, TypeError, RecursionError):
        return False


def dump_failure(failure: Failure | None) -> str | None:
    """Return the JSON column of a failure."""
    return None if failure is None else json.dumps(asdict(failure), default=str)


def dump_manifest(manifest: Manifest | None) -> str | None:
    """Return the JSON column of a manifest."""
    return None if manifest is None else json.dumps(asdict(manifest))


def dump_verdict(verdict: Verdict) -> str:
    """Return the JSON column of a verdict."""
    return json.dumps(asdict(verdict))


# -- columns ---------------------------------------------------------------------------------

_Decode = Callable[[sqlite3.Row], Any]


def _plain(name: str) -> _Decode:
    return lambda row: row[name]


def _json(name: str) -> _Decode:
    return lambda row: json.loads(_stored(row, name))


def _stored(row: sqlite3.Row, name: str) -> Any:
    text = row[name]
    return text.raw if isinstance(text, UndecodableText) else text


def _object(kind: type, name: str, *, unknown: Literal["ignore", "forbid"]) -> _Decode:
    """Decode a JSON column to a dataclass; members that are missing take their defaults."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return lambda row: adapter.validate_json(_stored(row, name), strict=True, extra=unknown)


def _optional(decode: _Decode, name: str) -> _Decode:
    return lambda row: decode(row) if row[name] else None


_RENAMED = {"output": "presentation"}
"""Members of `Job` that the table has under an older name."""

_RENAMED_CODES = {"worker.lied": "worker.bad_manifest"}
"""Failure codes that older versions stored."""


def _failure(row: sqlite3.Row) -> Failure:
    data = _json("failure")(row)
    code = data["code"]
    return Failure(**{**data, "code": _RENAMED_CODES.get(code, code)})


_COLUMNS: Mapping[str, _Decode] = {
    **{member.name: _plain(member.name) for member in fields(Job) if member.name != "requester"},
    "state": lambda row: JobState(row["state"]),
    "spec": lambda row: Spec.from_dict(_json("spec")(row)),
    "origins": _json("origins"),
    "requester": lambda row: Requester(id=row["requester_id"], name=row["requester_name"]),
    "address": _json("address"),
    "failure": _optional(_failure, "failure"),
    "manifest": _optional(_object(Manifest, "manifest", unknown="forbid"), "manifest"),
    "output": _object(OutputSettings, "presentation", unknown="forbid"),
    "notes": lambda row: tuple(_json("notes")(row)),
    "review": lambda row: bool(row["review"]),
    "audience": lambda row: Audience(channel=row["channel"], private=bool(row["private"])),
    "verdict": _object(Verdict, "verdict", unknown="ignore"),
}
"""Member of `Job` -> how it is read. A new column that is one plain value needs no entry."""


def _is_time(value: Any) -> bool:
    return value is None or 0 <= value <= LATEST_TIME


def _is_count(value: Any) -> bool:
    return bool(0 <= value <= _MOST)


def _is_spec(spec: Any) -> bool:
    counts = (spec.frames, spec.steps, spec.loops, spec.file_fps)
    return all(1 <= count <= _MOST for count in counts) and _is_count(spec.after_frames)


def _is_manifest(manifest: Any) -> bool:
    if manifest is None:
        return True
    return _PLAIN_NAME.fullmatch(manifest.name) is not None and _is_count(manifest.frames)


_PLAUSIBLE: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: _SAFE_ID.fullmatch(value) is not None,  # it names a folder
    "spec": _is_spec,
    "manifest": _is_manifest,
    "cost": lambda value: 0 <= value <= _LONGEST_COST,
    "attempt": _is_count,
    "losses": _is_count,
    "number": _is_count,
    "sequence": lambda value: 0 <= value <= 2**53,
    "created_at": _is_time,
    "queued_at": _is_time,
    "started_at": _is_time,
    "ended_at": _is_time,
    "cancel_requested_at": _is_time,
    "removed_at": _is_time,
}


def _sound(name: str) -> Callable[[Any], bool]:
    fits, plausible = member_checks(Job)[name], _PLAUSIBLE.get(name)
    if plausible is None:
        return fits
    return lambda value: fits(value) and plausible(value)


_SOUND: Mapping[str, Callable[[Any], bool]] = {name: _sound(name) for name in _COLUMNS}

# -- substitutes -----------------------------------------------------------------------------


def _spec(row: sqlite3.Row) -> Spec:
    """Return a spec with all readable values, and defaults for the rest."""
    values = BLANK.as_dict()
    try:
        found = _json("spec")(row)
    except _BROKEN:
        return BLANK
    if not isinstance(found, dict):
        return BLANK
    for name in values:
        if name not in found:
            continue
        try:
            spec = Spec.from_dict({**values, name: found[name]})
            if member_checks(Spec)[name](getattr(spec, name)) and _is_spec(spec):
                values[name] = found[name]
        except _BROKEN:
            continue
    return Spec.from_dict(values)


def _requester(row: sqlite3.Row) -> Requester:
    check = member_checks(Requester)
    person, name = row["requester_id"], row["requester_name"]
    return Requester(
        id=person if check["id"](person) else "", name=name if check["name"](name) else "?"
    )


_SUBSTITUTES: Mapping[str, _Decode] = {
    "state": lambda _: JobState.FAILED,
    "spec": _spec,
    "origins": lambda _: {},
    "tenant": lambda _: "",
    "requester": _requester,
    "platform": lambda _: "",
    "address": lambda _: {},
    "created_at": lambda _: 0.0,
    "cost": lambda _: 0.0,
    "attempt": lambda _: 0,
    "losses": lambda _: 0,
    "sequence": lambda _: 0,
    "number": lambda _: 1,
    "output": lambda _: OutputSettings(),
    "notes": lambda _: (),
    "review": lambda _: False,
    "audience": lambda _: Audience(channel="", private=True),
    "person": lambda _: "",
    "verdict": lambda _: Verdict(),
}
"""Where a column cannot be read; all others are empty then."""
