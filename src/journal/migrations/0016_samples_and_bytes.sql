-- What may be removed when space runs short, what takes it, and which letters are alike.

-- For a sample of an unknown kind the digest of its shape; NULL in every other row.
ALTER TABLE events ADD COLUMN shape TEXT;
CREATE INDEX events_samples ON events (received_at) WHERE shape IS NOT NULL AND pruned_at IS NULL;
-- Texts of what was dropped before dropping removed them.
CREATE INDEX events_dropped ON events (finished_at) WHERE pruned_at IS NULL AND state = 'dropped';

-- Letters by their reason, so that equal ones are counted without their texts.
CREATE INDEX events_letters_by_reason ON events (console, state, reason, finished_at)
    WHERE state IN ('dead', 'dropped');

-- Bytes of text beside the number of events, kept up by the same triggers.
ALTER TABLE event_counts ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

DELETE FROM event_counts;
-- Lengths are taken before the rows are sorted: else every text goes through a temporary file.
INSERT INTO event_counts (console, standing, events, bytes)
WITH texts AS MATERIALIZED (
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END
            AS standing,
        OCTET_LENGTH(body) AS bytes
    FROM events
)
SELECT console, standing, COUNT(*), SUM(bytes) FROM texts GROUP BY 1, 2;

DROP TRIGGER events_counted_in;
CREATE TRIGGER events_counted_in AFTER INSERT ON events BEGIN
    INSERT OR IGNORE INTO event_counts (console, standing, events) VALUES (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        0
    );
    UPDATE event_counts SET events = events + 1, bytes = bytes + OCTET_LENGTH(NEW.body)
    WHERE console = NEW.console AND standing =
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END;
END;

DROP TRIGGER events_counted_out;
CREATE TRIGGER events_counted_out AFTER DELETE ON events BEGIN
    UPDATE event_counts SET events = events - 1, bytes = bytes - OCTET_LENGTH(OLD.body)
    WHERE console = OLD.console AND standing =
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END;
END;

DROP TRIGGER events_counted_over;
CREATE TRIGGER events_counted_over AFTER UPDATE OF state, follows, body ON events
WHEN OLD.state <> NEW.state OR (OLD.follows IS NULL) <> (NEW.follows IS NULL)
    OR OCTET_LENGTH(OLD.body) <> OCTET_LENGTH(NEW.body)
BEGIN
    UPDATE event_counts SET events = events - 1, bytes = bytes - OCTET_LENGTH(OLD.body)
    WHERE console = OLD.console AND standing =
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END;
    INSERT OR IGNORE INTO event_counts (console, standing, events) VALUES (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        0
    );
    UPDATE event_counts SET events = events + 1, bytes = bytes + OCTET_LENGTH(NEW.body)
    WHERE console = NEW.console AND standing =
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END;
END;
