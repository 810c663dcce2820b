-- Times are Unix seconds; spec, origins, address, failure, manifest, trace and receipt are JSON.

CREATE TABLE jobs (
    id                  TEXT PRIMARY KEY,
    state               TEXT NOT NULL,
    spec                TEXT NOT NULL,
    origins             TEXT NOT NULL,
    tenant              TEXT NOT NULL,
    requester_id        TEXT NOT NULL,
    requester_name      TEXT NOT NULL,
    platform            TEXT NOT NULL,
    address             TEXT NOT NULL,
    created_at          REAL NOT NULL,
    cost                REAL NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0,
    losses              INTEGER NOT NULL DEFAULT 0,
    sequence            INTEGER NOT NULL DEFAULT 0,
    key                 TEXT UNIQUE,
    parent              TEXT,
    image               TEXT,
    queued_at           REAL,
    started_at          REAL,
    ended_at            REAL,
    cancel_requested_at REAL,
    failure             TEXT,
    manifest            TEXT
) STRICT;

-- The line, the caps and recovery look only at jobs that have not ended.
CREATE INDEX jobs_unfinished ON jobs (state, tenant, requester_id)
    WHERE state NOT IN ('done', 'refused', 'failed', 'cancelled', 'expired');
-- "My last jobs", newest first; also the cooldown.
CREATE INDEX jobs_by_requester ON jobs (tenant, requester_id, created_at DESC);
-- The cost model learns from the newest finished jobs of a model.
CREATE INDEX jobs_finished ON jobs (ended_at DESC) WHERE state = 'done';

-- Fair sharing: where each tenant's virtual time stands.
CREATE TABLE shares (
    tenant       TEXT PRIMARY KEY,
    virtual_time REAL NOT NULL
) STRICT;

-- Single values: the system's virtual time, the last sequence number, whether the line stands
-- still (paused) or takes nobody new (draining).
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value REAL NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('virtual_time', 0), ('sequence', 0), ('paused', 0),
    ('draining', 0);

-- Every outward act. `wanted` counts the states a card should have shown, `shown` the newest one
-- that the platform has: a card is due while shown < wanted, so only its newest state is sent.
CREATE TABLE outbox (
    key        TEXT PRIMARY KEY,
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    platform   TEXT NOT NULL,
    wanted     INTEGER NOT NULL DEFAULT 1,
    shown      INTEGER NOT NULL DEFAULT 0,
    route      INTEGER NOT NULL DEFAULT 0,
    sending    INTEGER NOT NULL DEFAULT 0,
    dead       INTEGER NOT NULL DEFAULT 0,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    REAL NOT NULL,
    created_at REAL NOT NULL,
    trace      TEXT NOT NULL DEFAULT '{}',
    receipt    TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at) WHERE shown < wanted AND dead = 0;
CREATE INDEX outbox_by_job ON outbox (job_id);
