-- How many events stand where, kept up with every change of theirs: a scrape reads seven rows, however
-- many events the journal has. A follow-up that waits stands as 'following-up'.
CREATE TABLE event_counts (
    console TEXT NOT NULL,
    standing TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (console, standing)
) WITHOUT ROWID;

INSERT INTO event_counts (console, standing, events)
SELECT console,
    CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
    COUNT(*)
FROM events GROUP BY 1, 2;

CREATE TRIGGER events_counted_in AFTER INSERT ON events BEGIN
    INSERT OR IGNORE INTO event_counts VALUES (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        0
    );
    UPDATE event_counts SET events = events + 1
    WHERE console = NEW.console AND standing =
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END;
END;

CREATE TRIGGER events_counted_out AFTER DELETE ON events BEGIN
    UPDATE event_counts SET events = events - 1
    WHERE console = OLD.console AND standing =
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END;
END;

CREATE TRIGGER events_counted_over AFTER UPDATE OF state, follows ON events
WHEN OLD.state <> NEW.state OR (OLD.follows IS NULL) <> (NEW.follows IS NULL) BEGIN
    UPDATE event_counts SET events = events - 1
    WHERE console = OLD.console AND standing =
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END;
    INSERT OR IGNORE INTO event_counts VALUES (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        0
    );
    UPDATE event_counts SET events = events + 1
    WHERE console = NEW.console AND standing =
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END;
END;

-- Which names of incidents are old enough to be forgotten.
CREATE INDEX incidents_by_age ON incidents (console, created_at_us);
