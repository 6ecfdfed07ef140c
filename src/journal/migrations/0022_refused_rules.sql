-- Rules whose text OpenCTI refused, of all consoles: until one of them may be sent again, alerts leave
-- without its indicator.
CREATE TABLE refused_rules (
    -- STIX id of the indicator, which is a digest of the rule's text.
    indicator TEXT PRIMARY KEY,
    -- The rule's name.
    name TEXT NOT NULL,
    -- The platform's own words.
    reason TEXT NOT NULL,
    -- Version of the platform that refused it.
    platform TEXT NOT NULL,
    -- Milliseconds since 1970, UTC.
    refused_at INTEGER NOT NULL
) WITHOUT ROWID;
