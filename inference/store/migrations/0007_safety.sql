-- What the checks found in a job's words and pictures, and what becomes of it.
ALTER TABLE jobs ADD COLUMN verdict TEXT NOT NULL DEFAULT '{}';

-- Words that a guild's admins forbid, in the one spelling that stands for all.
CREATE TABLE forbidden_words (
    tenant TEXT NOT NULL,
    word   TEXT NOT NULL,
    PRIMARY KEY (tenant, word)
) STRICT, WITHOUT ROWID;
