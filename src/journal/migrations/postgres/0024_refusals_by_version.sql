-- Version of OpenCTI when the work was opened; NULL when none was known. A refusal counts for that one.
ALTER TABLE works ADD COLUMN platform TEXT;

-- Finds refused rules by the time for which they are left out.
CREATE INDEX refused_rules_by_date ON refused_rules (refused_at);

-- Indicators that left in a work, to find the work that brought one. They go with the work, also where a replica of
-- the version before, which does not know this table, ends it.
CREATE TABLE work_indicators (
    indicator TEXT COLLATE "C" NOT NULL,
    work TEXT COLLATE "C" NOT NULL REFERENCES works (id) ON DELETE CASCADE,
    PRIMARY KEY (indicator, work)
);
CREATE INDEX work_indicators_of_work ON work_indicators (work);
INSERT INTO work_indicators (indicator, work)
    SELECT DISTINCT object.value, work_parts.work
    FROM work_parts JOIN works ON works.id = work_parts.work, json_array_elements_text(work_parts.objects::json) AS object (value)
    WHERE object.value LIKE 'indicator--%';
