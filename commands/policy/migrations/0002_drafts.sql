-- Requests that were refused but work with a change, for the buttons that make it.
CREATE TABLE drafts (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    person     TEXT NOT NULL,
    created_at REAL NOT NULL,
    request    TEXT NOT NULL
) STRICT;
CREATE INDEX drafts_by_person ON drafts (tenant, person, created_at);
CREATE INDEX drafts_by_age ON drafts (created_at);
