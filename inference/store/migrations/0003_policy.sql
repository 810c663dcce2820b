-- What the guild of a job wants for its file: corner and suffix of the mark, prompt in the recipe.
ALTER TABLE jobs ADD COLUMN presentation TEXT NOT NULL DEFAULT '{}';

-- GPU time of delivered jobs, in whole milliseconds so that sums are exact. A job is charged once,
-- and its row outlives it: totals stay when the person is forgotten.
CREATE TABLE ledger (
    job          TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    milliseconds INTEGER NOT NULL CHECK (milliseconds >= 0),
    charged_at   REAL NOT NULL,
    forget       INTEGER NOT NULL DEFAULT 0
) STRICT;
-- What a guild and each of its people used since midnight, answered from the index alone.
CREATE INDEX ledger_by_day ON ledger (tenant, charged_at, requester_id, milliseconds);
CREATE INDEX ledger_to_forget ON ledger (charged_at) WHERE forget = 1;

-- The words of prompts. `archive` gives jobs a number that VACUUM leaves alone and that grows with
-- time, so that the newest hits come first without sorting. `owner` is one word (hex), so that a
-- search only ever walks the hits of one person.
CREATE TABLE archive (
    number INTEGER PRIMARY KEY,
    job    TEXT NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (
    owner, prompt, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

INSERT INTO archive (job) SELECT id FROM jobs ORDER BY created_at;
INSERT INTO words (rowid, owner, prompt)
    SELECT number, hex(tenant || char(10) || requester_id),
        CASE WHEN json_valid(spec) THEN json_extract(spec, '$.prompt') END
    FROM archive JOIN jobs ON jobs.id = archive.job;

CREATE TRIGGER jobs_archived AFTER INSERT ON jobs BEGIN
    INSERT INTO archive (job) VALUES (new.id);
    INSERT INTO words (rowid, owner, prompt) VALUES (
        (SELECT number FROM archive WHERE job = new.id),
        hex(new.tenant || char(10) || new.requester_id),
        json_extract(new.spec, '$.prompt')
    );
END;
CREATE TRIGGER jobs_reworded AFTER UPDATE OF spec ON jobs
    WHEN json_extract(old.spec, '$.prompt') IS NOT json_extract(new.spec, '$.prompt') BEGIN
    UPDATE words SET prompt = json_extract(new.spec, '$.prompt')
        WHERE rowid = (SELECT number FROM archive WHERE job = new.id);
END;
CREATE TRIGGER jobs_unarchived AFTER DELETE ON jobs BEGIN
    DELETE FROM words WHERE rowid = (SELECT number FROM archive WHERE job = old.id);
    DELETE FROM archive WHERE job = old.id;
END;
