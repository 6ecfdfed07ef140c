-- Works that were opened in OpenCTI, until what it says of them is read. Times are milliseconds since
-- 1970, UTC.
CREATE TABLE works (
    id TEXT PRIMARY KEY,
    console TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    -- The message with which it is still to be closed, when closing it failed or never happened.
    closing TEXT,
    closed_at INTEGER,
    -- When to close it or to look at it next; NULL while the delivery is under way.
    look_at INTEGER,
    looks INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX works_due ON works (console, look_at) WHERE look_at IS NOT NULL;

-- Which objects of which event left in a work: a JSON list of STIX ids, in the order they left.
CREATE TABLE work_parts (
    work TEXT NOT NULL,
    position INTEGER NOT NULL,
    event INTEGER NOT NULL,
    objects TEXT NOT NULL,
    PRIMARY KEY (work, position)
) WITHOUT ROWID;

-- What OpenCTI refused of delivered events. Event 0: it cannot be told which.
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    console TEXT NOT NULL,
    event INTEGER NOT NULL,
    object TEXT NOT NULL,
    reason TEXT NOT NULL,
    work TEXT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    refused_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX refusals_once ON refusals (console, event, object, reason);

-- Sightings of false positives on platforms that never change the flag by bundle. A row is there as
-- long as the sighting is a false positive, or is to become one no longer.
CREATE TABLE sighting_flags (
    console TEXT NOT NULL,
    sighting_of TEXT NOT NULL,
    sighted_by TEXT NOT NULL,
    -- The newest sighting of the two, as it was sent.
    sighting TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    negative INTEGER NOT NULL,
    -- NULL: OpenCTI shows it as it should be.
    due_at INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (console, sighting_of, sighted_by)
) WITHOUT ROWID;
CREATE INDEX sighting_flags_due ON sighting_flags (console, due_at) WHERE due_at IS NOT NULL;
