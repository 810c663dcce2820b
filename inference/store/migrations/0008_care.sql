PRAGMA application_id = 1381323592; -- "RUSH": whose file this is

-- Which release brought the schema to which version: a release that is too old names it.
CREATE TABLE releases (
    schema  INTEGER PRIMARY KEY,
    release TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT;

-- Rows that could not be decoded, as they were found (JSON; bytes as {"hex": ...}). What is left
-- of them in their own table can be decoded. `person` and `job` say whose they are, where that
-- could be read: /forget-me takes them along.
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
CREATE INDEX quarantine_by_person ON quarantine (tenant, person);
CREATE INDEX quarantine_by_job ON quarantine (job);

-- People who asked to be forgotten, as a keyed hash of tenant and person, for as long as a cooldown
-- or a quota of theirs may hold. Their ledger entries carry the same hash until then.
CREATE TABLE tombstones (
    person          TEXT PRIMARY KEY,
    last_request_at REAL NOT NULL,
    forgotten_at    REAL NOT NULL
) STRICT;
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
INSERT INTO secrets (name, value) VALUES ('tombstones', randomblob(32));

-- Jobs that were forgotten while something may still have been writing their files.
CREATE TABLE removals (
    job TEXT PRIMARY KEY,
    at  REAL NOT NULL
) STRICT;
