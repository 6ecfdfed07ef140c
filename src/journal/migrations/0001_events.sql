-- One row a version of an alert or threat. Times are milliseconds since 1970, UTC.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    console TEXT NOT NULL,
    generation INTEGER NOT NULL,
    -- As received: by these a repeated delivery is recognised.
    received_key TEXT NOT NULL,
    received_version TEXT NOT NULL,
    -- As identified: the same, until an event without an id is matched to its alert.
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    origin TEXT NOT NULL,
    dialect TEXT,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    agent_id TEXT,
    title TEXT,
    threat_key TEXT,
    state TEXT NOT NULL CHECK (
        state IN ('pending', 'delivered', 'filtered', 'superseded', 'dead', 'dropped')
    ),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    leased_until INTEGER,
    reason TEXT,
    root_id TEXT,
    finished_at INTEGER
);

CREATE UNIQUE INDEX events_as_received
    ON events (console, received_key, received_version, generation);
CREATE UNIQUE INDEX events_as_identified ON events (console, key, version, generation);
CREATE INDEX events_due ON events (due_at, id) WHERE state = 'pending';
CREATE INDEX events_unfinished ON events (console, key, id) WHERE state = 'pending';
CREATE INDEX events_leased ON events (leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX events_of_threat ON events (console, threat_key) WHERE threat_key IS NOT NULL;
CREATE INDEX events_unmatched
    ON events (console, agent_id, title) WHERE dialect = 'ecs-alert' AND key = received_key;

-- What the id of an incident or case is made from, fixed before it is first sent. The date counts
-- microseconds, because the id is made from all of them.
CREATE TABLE incidents (
    console TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (console, key)
) WITHOUT ROWID;

-- Cursors, the import generation, the choice of names.
CREATE TABLE remembered (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
