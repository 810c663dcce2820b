-- What preparing has to say of a job (JSON list of catalog codes), and whether its requester wants
-- to see the refined prompt before it may stand in line.
ALTER TABLE jobs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN review INTEGER NOT NULL DEFAULT 0;

-- Answers of the prompt assistant. The question is there as a digest only.
CREATE TABLE refinements (
    digest       TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    prompt       TEXT NOT NULL,
    used_at      REAL NOT NULL,
    PRIMARY KEY (digest, tenant, requester_id)
) STRICT;
CREATE INDEX refinements_by_person ON refinements (tenant, requester_id);
CREATE INDEX refinements_by_use ON refinements (used_at);

-- People look for their own words, not only for what was made of them.
DROP TRIGGER jobs_reworded;
CREATE TRIGGER jobs_reworded AFTER UPDATE OF spec ON jobs
    WHEN json_extract(old.spec, '$.prompt') IS NOT json_extract(new.spec, '$.prompt') BEGIN
    UPDATE words SET prompt = 
            coalesce(json_extract(new.spec, '$.original') || char(10), '')
            || json_extract(new.spec, '$.prompt')
        WHERE rowid = (SELECT number FROM archive WHERE job = new.id);
END;
DROP TRIGGER jobs_archived;
CREATE TRIGGER jobs_archived AFTER INSERT ON jobs BEGIN
    INSERT INTO archive (job) VALUES (new.id);
    INSERT INTO words (rowid, owner, prompt) VALUES (
        (SELECT number FROM archive WHERE job = new.id),
        hex(new.tenant || char(10) || new.requester_id),
        coalesce(json_extract(new.spec, '$.original') || char(10), '')
            || json_extract(new.spec, '$.prompt')
    );
END;
