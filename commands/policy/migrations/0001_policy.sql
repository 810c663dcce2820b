-- Databases up to schema 13 have these tables already: the core made them.

-- What is set for a guild, one of its channels or one of its people ('' for the guild itself).
-- Earlier versions are in `audit`.
CREATE TABLE IF NOT EXISTS settings (
    tenant  TEXT NOT NULL,
    scope   TEXT NOT NULL,
    subject TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (tenant, scope, subject, key)
) STRICT, WITHOUT ROWID;

-- Options under a name; `owner` is a person, or '' for everybody in the guild.
CREATE TABLE IF NOT EXISTS presets (
    tenant  TEXT NOT NULL,
    owner   TEXT NOT NULL,
    name    TEXT NOT NULL,
    options TEXT NOT NULL,
    PRIMARY KEY (tenant, owner, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS blocks (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (tenant, person)
) STRICT, WITHOUT ROWID;

-- Who changed what, when. Before and after are JSON, NULL where nothing was set.
CREATE TABLE IF NOT EXISTS audit (
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
CREATE INDEX IF NOT EXISTS audit_by_tenant ON audit (tenant, id);

-- Words that a guild's admins forbid, in the one spelling that stands for all.
CREATE TABLE IF NOT EXISTS forbidden_words (
    tenant TEXT NOT NULL,
    word   TEXT NOT NULL,
    PRIMARY KEY (tenant, word)
) STRICT, WITHOUT ROWID;
