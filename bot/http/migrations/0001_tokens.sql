-- Tokens of the HTTP API. A token itself is shown once and never written down.
CREATE TABLE http_tokens (
    id         TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,           -- SHA-256 of the secret part, in hex
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    person     TEXT NOT NULL,           -- requester inside the tenant
    everywhere TEXT NOT NULL,           -- the same human in all tenants
    roles      TEXT NOT NULL,           -- JSON list
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL
) STRICT;
CREATE UNIQUE INDEX http_tokens_live ON http_tokens (tenant, name) WHERE revoked_at IS NULL;
