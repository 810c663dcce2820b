-- When its requester took the finished file back, with the message that had brought it.
ALTER TABLE jobs ADD COLUMN removed_at REAL;
