-- Who asked to be forgotten and is still to hear that all is deleted; the row goes with that message.
CREATE TABLE erasures (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    person   TEXT NOT NULL,
    name     TEXT NOT NULL,
    platform TEXT NOT NULL,
    address  TEXT NOT NULL,
    locale   TEXT NOT NULL,
    erased   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, person)
) STRICT;
