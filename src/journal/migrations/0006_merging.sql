-- What OpenCTI merges, and so must be known of all alerts together. Times are milliseconds since
-- 1970, UTC.

-- The sighting of each alert: those of one indicator in one place become one there.
CREATE TABLE sightings (
    console TEXT NOT NULL,
    key TEXT NOT NULL,
    indicator_id TEXT NOT NULL,
    place_id TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    is_false_positive INTEGER NOT NULL,
    PRIMARY KEY (console, key)
) WITHOUT ROWID;

CREATE INDEX sightings_of_pair ON sightings (console, indicator_id, place_id);

-- What the case of a threat refers to: its alerts' objects. References only add up there, so that
-- one that was sent in this import generation need not be sent again.
CREATE TABLE case_objects (
    console TEXT NOT NULL,
    generation INTEGER NOT NULL,
    threat_key TEXT NOT NULL,
    object_id TEXT NOT NULL,
    is_sent INTEGER NOT NULL,
    PRIMARY KEY (console, generation, threat_key, object_id)
) WITHOUT ROWID;
