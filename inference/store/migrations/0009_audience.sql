-- Who may see a job: everybody of its tenant, or only the people of the channel it was asked in.
-- Of older jobs only the channel is known, so they are for that channel and their requester.
ALTER TABLE jobs ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN private INTEGER NOT NULL DEFAULT 1;
UPDATE jobs SET
    channel = coalesce(
        CASE WHEN json_valid(address) THEN CAST(json_extract(address, '$.channel') AS TEXT) END, ''
    ),
    private = (platform <> 'terminal');

-- Who asked, by a name that is the same in every tenant of a platform. Slack's ids are unique in a
-- workspace only; somebody of another one is kept as "user@workspace".
ALTER TABLE jobs ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN person TEXT NOT NULL DEFAULT '';
UPDATE jobs SET person = CASE
    WHEN platform <> 'slack' THEN platform || ':' || requester_id
    WHEN instr(requester_id, '@') = 0 THEN tenant || ':' || requester_id
    ELSE 'slack:' || substr(requester_id, instr(requester_id, '@') + 1)
        || ':' || substr(requester_id, 1, instr(requester_id, '@') - 1)
END;
UPDATE ledger SET person = CASE
    WHEN requester_id = '' THEN ''
    WHEN tenant NOT LIKE 'slack:%' THEN substr(tenant, 1, instr(tenant, ':')) || requester_id
    WHEN instr(requester_id, '@') = 0 THEN tenant || ':' || requester_id
    ELSE 'slack:' || substr(requester_id, instr(requester_id, '@') + 1)
        || ':' || substr(requester_id, 1, instr(requester_id, '@') - 1)
END;

-- The cooldown and the caps of a person, wherever they ask.
CREATE INDEX jobs_by_person ON jobs (person, created_at DESC);
CREATE INDEX ledger_by_person ON ledger (person, charged_at, milliseconds);
