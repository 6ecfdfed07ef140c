-- Equal for names and dates that OpenCTI takes for one incident: which of them are taken.
ALTER TABLE incidents ADD COLUMN folded_id TEXT;
CREATE INDEX incidents_by_folded_id ON incidents (folded_id);
-- Rows of versions before this one: filled when the next incident is fixed.
CREATE INDEX incidents_not_folded ON incidents (console) WHERE folded_id IS NULL;
