-- Where a job was rendered last: the name of the slot, and the kind of its device, which estimates
-- go by. Of older jobs neither is known.
ALTER TABLE jobs ADD COLUMN slot TEXT;
ALTER TABLE jobs ADD COLUMN device TEXT;
