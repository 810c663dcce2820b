-- Nobody could be told by a direct message: their next command tells them. Of the person only a
-- keyed hash is left.
ALTER TABLE erasures ADD COLUMN untold INTEGER NOT NULL DEFAULT 0;
