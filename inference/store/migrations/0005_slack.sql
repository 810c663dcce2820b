-- Workspaces (or whole organisations) that installed the Slack app, with the tokens to answer them.
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

-- Installations under way: each state is good for one return from Slack, and not for long.
CREATE TABLE slack_states (
    state      TEXT PRIMARY KEY,
    expires_at REAL NOT NULL
) STRICT;

-- Files that were shared where the bot could see it, so that "the last image of this thread" is
-- known without reading a channel's history. `thread` is NULL until somebody asks.
CREATE TABLE slack_files (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    file      TEXT NOT NULL,
    thread    TEXT,
    seen_at   REAL NOT NULL,
    PRIMARY KEY (workspace, channel, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX slack_files_by_age ON slack_files (seen_at);
