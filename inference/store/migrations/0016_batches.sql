-- Jobs that were asked for together: the id of the first of them, and which one this is.
ALTER TABLE jobs ADD COLUMN batch TEXT;
ALTER TABLE jobs ADD COLUMN number INTEGER NOT NULL DEFAULT 1;
CREATE INDEX jobs_batch ON jobs (batch) WHERE batch IS NOT NULL;
