-- The schema versions of packages that bring tables of their own: of commands, of chats, of plugins.
CREATE TABLE packages (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
