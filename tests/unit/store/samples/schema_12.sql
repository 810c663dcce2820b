-- A database of version 0.1.0 (schema 12), as its own code wrote it.
CREATE TABLE archive (
    number INTEGER PRIMARY KEY,
    job    TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "archive" VALUES(1,'ATTACHED01');
INSERT INTO "archive" VALUES(2,'PREPARED01');
INSERT INTO "archive" VALUES(3,'FROMSTILL1');
INSERT INTO "archive" VALUES(4,'EXTENDED01');
INSERT INTO "archive" VALUES(5,'EXTENDED02');
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL,
    at         REAL NOT NULL,
    actor_id   TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    scope      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    key        TEXT NOT NULL,
    before     TEXT,
    after      TEXT
) STRICT;
INSERT INTO "audit" VALUES(1,'slack:T1',1.79588363512053251266e+09,'ann','Ann','guild','','default.steps',NULL,'12');
INSERT INTO "audit" VALUES(2,'slack:T1',1.79588363512787294387e+09,'ann','Ann','block','bob','block',NULL,'"spam"');
INSERT INTO "audit" VALUES(3,'slack:T1',1.79588363514734864236e+09,'ann','Ann','words','','words',NULL,'"acme"');
CREATE TABLE blocks (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (tenant, person)
) STRICT, WITHOUT ROWID;
INSERT INTO "blocks" VALUES('slack:T1','bob','spam');
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value REAL NOT NULL
) STRICT;
INSERT INTO "counters" VALUES('virtual_time',0.0);
INSERT INTO "counters" VALUES('sequence',0.0);
INSERT INTO "counters" VALUES('paused',0.0);
INSERT INTO "counters" VALUES('draining',0.0);
CREATE TABLE forbidden_words (
    tenant TEXT NOT NULL,
    word   TEXT NOT NULL,
    PRIMARY KEY (tenant, word)
) STRICT, WITHOUT ROWID;
INSERT INTO "forbidden_words" VALUES('slack:T1','acme');
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
, forget INTEGER NOT NULL DEFAULT 0, presentation TEXT NOT NULL DEFAULT '{}', removed_at REAL, notes TEXT NOT NULL DEFAULT '[]', review INTEGER NOT NULL DEFAULT 0, verdict TEXT NOT NULL DEFAULT '{}', channel TEXT NOT NULL DEFAULT '', private INTEGER NOT NULL DEFAULT 1, person TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "jobs" VALUES('ATTACHED01','accepted','{"prompt": "a red fox running through snow", "model": "fox", "resolution": "360p", "aspect": "16:9", "frames": 49, "motion": "fair", "aesthetic": "excellent", "camera": "none", "refine": false, "seed": 7, "steps": 10, "cfg": 7.0, "fps": 24, "loops": 1, "negative": null, "image": "https://cdn.example/fox.png", "last": "https://cdn.example/owl.png", "latents": null, "after_frames": 0, "original": null}','{"prompt": "typed"}','slack:T1','ada','Ada','slack','{"channel": 7}',1790000000.0,10.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'{"corner": null, "suffix": "", "prompt_in_recipe": true, "flagged": "deny", "language": null}',NULL,'[]',0,'{"outcome": "allow", "reasons": []}','',0,'slack:T1:ada');
INSERT INTO "jobs" VALUES('PREPARED01','queued','{"prompt": "a red fox running through snow", "model": "fox", "resolution": "360p", "aspect": "16:9", "frames": 49, "motion": "fair", "aesthetic": "excellent", "camera": "none", "refine": false, "seed": 7, "steps": 10, "cfg": 7.0, "fps": 24, "loops": 1, "negative": null, "image": "image.png", "last": "last.png", "latents": null, "after_frames": 0, "original": null}','{"prompt": "typed"}','guild:a','ada','Ada','test','{"channel": 7}',1790000000.0,10.0,0,0,1,NULL,NULL,'image.png',1790000001.0,NULL,NULL,NULL,NULL,NULL,0,'{"corner": null, "suffix": "", "prompt_in_recipe": true, "flagged": "deny", "language": null}',NULL,'[]',0,'{"outcome": "allow", "reasons": []}','',0,'guild:a:ada');
INSERT INTO "jobs" VALUES('FROMSTILL1','accepted','{"prompt": "a red fox running through snow", "model": "fox", "resolution": "360p", "aspect": "16:9", "frames": 49, "motion": "fair", "aesthetic": "excellent", "camera": "none", "refine": false, "seed": 7, "steps": 10, "cfg": 7.0, "fps": 24, "loops": 1, "negative": null, "image": "parent:result", "last": null, "latents": null, "after_frames": 0, "original": null}','{"prompt": "typed"}','guild:a','ada','Ada','test','{"channel": 7}',1790000000.0,10.0,0,0,0,NULL,'PREPARED01',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'{"corner": null, "suffix": "", "prompt_in_recipe": true, "flagged": "deny", "language": null}',NULL,'[]',0,'{"outcome": "allow", "reasons": []}','',0,'guild:a:ada');
INSERT INTO "jobs" VALUES('EXTENDED01','accepted','{"prompt": "a red fox running through snow", "model": "fox", "resolution": "360p", "aspect": "16:9", "frames": 49, "motion": "fair", "aesthetic": "excellent", "camera": "none", "refine": false, "seed": 7, "steps": 10, "cfg": 7.0, "fps": 24, "loops": 1, "negative": null, "image": null, "last": null, "latents": "parent:latents", "after_frames": 49, "original": null}','{"prompt": "typed"}','guild:a','ada','Ada','test','{"channel": 7}',1790000000.0,10.0,0,0,0,NULL,'PREPARED01',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'{"corner": null, "suffix": "", "prompt_in_recipe": true, "flagged": "deny", "language": null}',NULL,'[]',0,'{"outcome": "allow", "reasons": []}','',0,'guild:a:ada');
INSERT INTO "jobs" VALUES('EXTENDED02','queued','{"prompt": "a red fox running through snow", "model": "fox", "resolution": "360p", "aspect": "16:9", "frames": 49, "motion": "fair", "aesthetic": "excellent", "camera": "none", "refine": false, "seed": 7, "steps": 10, "cfg": 7.0, "fps": 24, "loops": 1, "negative": null, "image": null, "last": null, "latents": "latents.bin", "after_frames": 49, "original": null}','{"prompt": "typed"}','guild:a','ada','Ada','test','{"channel": 7}',1790000000.0,10.0,0,0,2,NULL,'PREPARED01',NULL,1790000002.0,NULL,NULL,NULL,NULL,NULL,0,'{"corner": null, "suffix": "", "prompt_in_recipe": true, "flagged": "deny", "language": null}',NULL,'[]',0,'{"outcome": "allow", "reasons": []}','',0,'guild:a:ada');
CREATE TABLE ledger (
    job          TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    milliseconds INTEGER NOT NULL CHECK (milliseconds >= 0),
    charged_at   REAL NOT NULL,
    forget       INTEGER NOT NULL DEFAULT 0
, person TEXT NOT NULL DEFAULT '') STRICT;
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
CREATE TABLE presets (
    tenant  TEXT NOT NULL,
    owner   TEXT NOT NULL,
    name    TEXT NOT NULL,
    options TEXT NOT NULL,
    PRIMARY KEY (tenant, owner, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "presets" VALUES('slack:T1','ann','film','{"steps": 9}');
CREATE TABLE quarantine (
    id       INTEGER PRIMARY KEY,
    source   TEXT NOT NULL,
    key      TEXT NOT NULL,
    reason   TEXT NOT NULL,
    found_at REAL NOT NULL,
    tenant   TEXT,
    person   TEXT,
    job      TEXT,
    content  TEXT NOT NULL
) STRICT;
CREATE TABLE refinements (
    digest       TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    prompt       TEXT NOT NULL,
    used_at      REAL NOT NULL,
    PRIMARY KEY (digest, tenant, requester_id)
) STRICT;
CREATE TABLE releases (
    schema  INTEGER PRIMARY KEY,
    release TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT;
INSERT INTO "releases" VALUES(12,'0.1.0',1.79588363510213375089e+09);
CREATE TABLE removals (
    job TEXT PRIMARY KEY,
    at  REAL NOT NULL
) STRICT;
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
INSERT INTO "secrets" VALUES('tombstones',X'551E5D84458526EA6DF8C539AB445C95BF0CD88AB9A65DF1EF0E05AB55398FCA');
CREATE TABLE settings (
    tenant  TEXT NOT NULL,
    scope   TEXT NOT NULL,
    subject TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (tenant, scope, subject, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "settings" VALUES('slack:T1','guild','','default.steps','12');
CREATE TABLE shares (
    tenant       TEXT PRIMARY KEY,
    virtual_time REAL NOT NULL
) STRICT;
CREATE TABLE slack_files (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    file      TEXT NOT NULL,
    thread    TEXT,
    seen_at   REAL NOT NULL,
    PRIMARY KEY (workspace, channel, file)
) STRICT, WITHOUT ROWID;
INSERT INTO "slack_files" VALUES('T1','C1','F1','1.2',1790000000.0);
CREATE TABLE slack_installations (
    workspace     TEXT PRIMARY KEY,
    team          TEXT NOT NULL,
    enterprise    TEXT,
    bot_id        TEXT NOT NULL,
    bot_user      TEXT NOT NULL,
    token         TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    refresh_token TEXT,
    expires_at    REAL
) STRICT;
INSERT INTO "slack_installations" VALUES('T1','T1',NULL,'B1','UB','token-of-t1','chat:write',NULL,NULL);
CREATE TABLE tombstones (
    person          TEXT PRIMARY KEY,
    last_request_at REAL NOT NULL,
    forgotten_at    REAL NOT NULL
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (state, tenant, requester_id)
    WHERE state NOT IN ('done', 'refused', 'failed', 'cancelled', 'expired');
CREATE INDEX jobs_by_requester ON jobs (tenant, requester_id, created_at DESC);
CREATE INDEX jobs_finished ON jobs (ended_at DESC) WHERE state = 'done';
CREATE INDEX outbox_due ON outbox (next_at) WHERE shown < wanted AND dead = 0;
CREATE INDEX outbox_by_job ON outbox (job_id);
CREATE INDEX jobs_to_forget ON jobs (ended_at) WHERE forget = 1;
CREATE INDEX ledger_by_day ON ledger (tenant, charged_at, requester_id, milliseconds);
CREATE INDEX ledger_to_forget ON ledger (charged_at) WHERE forget = 1;
CREATE INDEX audit_by_tenant ON audit (tenant, id);
CREATE INDEX slack_files_by_age ON slack_files (seen_at);
CREATE INDEX refinements_by_person ON refinements (tenant, requester_id);
CREATE INDEX refinements_by_use ON refinements (used_at);
CREATE INDEX quarantine_by_person ON quarantine (tenant, person);
CREATE INDEX quarantine_by_job ON quarantine (job);
CREATE INDEX jobs_by_person ON jobs (person, created_at DESC);
CREATE INDEX ledger_by_person ON ledger (person, charged_at, milliseconds);
CREATE INDEX jobs_unfinished_by_person ON jobs (person, state)
    WHERE state NOT IN ('done', 'refused', 'failed', 'cancelled', 'expired');
CREATE VIRTUAL TABLE words USING fts5 (
    owner, prompt, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
INSERT INTO words (rowid, owner, prompt) VALUES (1, '736C61636B3A54310A616461', 'a red fox running through snow');
INSERT INTO words (rowid, owner, prompt) VALUES (2, '6775696C643A610A616461', 'a red fox running through snow');
INSERT INTO words (rowid, owner, prompt) VALUES (3, '6775696C643A610A616461', 'a red fox running through snow');
INSERT INTO words (rowid, owner, prompt) VALUES (4, '6775696C643A610A616461', 'a red fox running through snow');
INSERT INTO words (rowid, owner, prompt) VALUES (5, '6775696C643A610A616461', 'a red fox running through snow');
CREATE TRIGGER jobs_unarchived AFTER DELETE ON jobs BEGIN
    DELETE FROM words WHERE rowid = (SELECT number FROM archive WHERE job = old.id);
    DELETE FROM archive WHERE job = old.id;
END;
CREATE TRIGGER jobs_archived AFTER INSERT ON jobs BEGIN
    INSERT INTO archive (job) VALUES (new.id);
    INSERT INTO words (rowid, owner, prompt) VALUES (
        (SELECT number FROM archive WHERE job = new.id),
        hex(new.tenant || char(10) || new.requester_id),
        coalesce(json_extract(new.spec, '$.original') || char(10), '')
            || json_extract(new.spec, '$.prompt')
    );
END;
CREATE TRIGGER jobs_reworded AFTER UPDATE OF spec ON jobs
    WHEN CASE WHEN json_valid(old.spec)
        THEN json_extract(old.spec, '$.prompt') IS NOT json_extract(new.spec, '$.prompt')
        ELSE 1 END BEGIN
    UPDATE words SET prompt =
            coalesce(json_extract(new.spec, '$.original') || char(10), '')
            || json_extract(new.spec, '$.prompt')
        WHERE rowid = (SELECT number FROM archive WHERE job = new.id);
END;
PRAGMA user_version = 12;
PRAGMA application_id = 1381323592;
