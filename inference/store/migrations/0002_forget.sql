-- /forget-me on a job that is still on its way: the row goes once nobody needs it any more.
ALTER TABLE jobs ADD COLUMN forget INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_to_forget ON jobs (ended_at) WHERE forget = 1;
