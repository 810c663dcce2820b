-- What the checks found in a job's words and pictures, and what becomes of it.
ALTER TABLE jobs ADD COLUMN verdict TEXT NOT NULL DEFAULT '{}';
