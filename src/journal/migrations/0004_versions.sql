-- A status can go back: the same version of a key may be there several times, as long as another
-- one stands between. Only the latest version of a key makes a repetition.

-- When the item says that it last changed, in microseconds since 1970; NULL where it does not say.
-- It grows when the same version is seen again with a later date.
ALTER TABLE events ADD COLUMN updated_at INTEGER;
-- Which time this version of the key is there: 0 the first time, 1 after it had changed and gone back.
ALTER TABLE events ADD COLUMN recurrence INTEGER NOT NULL DEFAULT 0;
-- 0 in rows that say nothing of how the alert is: a follow-up, an event that another row replaced.
ALTER TABLE events ADD COLUMN is_version INTEGER NOT NULL DEFAULT 1;

UPDATE events SET is_version = 0
WHERE version LIKE '%|lacks %' OR version LIKE 'pushed:%' OR version LIKE 'follow-up:%';

DROP INDEX events_as_received;
DROP INDEX events_as_identified;
CREATE UNIQUE INDEX events_as_received
    ON events (console, received_key, received_version, recurrence, generation);
CREATE UNIQUE INDEX events_as_identified
    ON events (console, key, version, recurrence, generation);
