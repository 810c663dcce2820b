-- The prepared image is in the spec alone.
ALTER TABLE jobs DROP COLUMN image;
