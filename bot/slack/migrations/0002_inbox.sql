-- What Slack sent, from its acknowledgement until it is answered: Slack sends it only once.
CREATE TABLE slack_inbox (
    number INTEGER PRIMARY KEY,
    body   TEXT NOT NULL,
    tries  INTEGER NOT NULL DEFAULT 0
) STRICT;
