-- Databases up to schema 13 have these tables already: the core made them.

-- Workspaces (or whole organisations) that installed the Slack app, with the tokens to answer them.
CREATE TABLE IF NOT EXISTS slack_installations (
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

-- Files that were shared where the bot could see it, so that "the last image of this thread" is
-- known without reading a channel's history. `thread` is NULL until somebody asks.
CREATE TABLE IF NOT EXISTS slack_files (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    file      TEXT NOT NULL,
    thread    TEXT,
    seen_at   REAL NOT NULL,
    PRIMARY KEY (workspace, channel, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slack_files_by_age ON slack_files (seen_at);

-- States of installations were kept here once; they are signed now.
DROP TABLE IF EXISTS slack_states;
