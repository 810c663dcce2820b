-- How many jobs of a person wait is counted for each acceptance, without a look at any row.
CREATE INDEX jobs_unfinished_by_person ON jobs (person, state)
    WHERE state NOT IN ('done', 'refused', 'failed', 'cancelled', 'expired');
