-- The folded id of the name and date that an incident should have had, where another incident had them: the
-- next one that wants them finds the last date that was given instead.
ALTER TABLE incidents ADD COLUMN wanted_id TEXT;
CREATE INDEX incidents_by_wanted_id ON incidents (wanted_id, created_at_us) WHERE wanted_id IS NOT NULL;

-- Dates from which indicators are valid that are old enough to be forgotten, once no sighting is left.
CREATE INDEX remembered_by_date ON remembered (
    CASE WHEN SUBSTR(name, 1, 12) = '#valid_from:' THEN CAST(value AS BIGINT) END
);
