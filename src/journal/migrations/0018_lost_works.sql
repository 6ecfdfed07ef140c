-- Works of which objects never reached OpenCTI.

-- How a work looked last in OpenCTI, and since when: one that stays as it is has lost what is missing.
ALTER TABLE works ADD COLUMN shown TEXT;
ALTER TABLE works ADD COLUMN shown_since INTEGER;
-- 1: the connector was reset after the work was opened, and its queue purged with that.
ALTER TABLE works ADD COLUMN was_reset INTEGER NOT NULL DEFAULT 0;
-- 1: its events were requeued because it was lost; all that is left to do is to close it.
ALTER TABLE works ADD COLUMN is_lost INTEGER NOT NULL DEFAULT 0;

-- How often the event was requeued in its import generation because its work was lost.
ALTER TABLE events ADD COLUMN times_lost INTEGER NOT NULL DEFAULT 0;

-- Which events are in a work of which OpenCTI has not told all: their texts stay.
CREATE INDEX work_parts_of_event ON work_parts (event);
