-- How many events stand where, kept up with every change of theirs, so that nobody has to count them. A
-- follow-up that waits stands as 'following-up'.
--
-- One row for each standing would make the replicas wait for each other: so a change adds rows of its
-- own, and what is told is their sum. They are added up now and then.
CREATE TABLE event_counts (
    console TEXT COLLATE "C" NOT NULL,
    standing TEXT COLLATE "C" NOT NULL,
    events BIGINT NOT NULL
);

-- Rows change their place often, and what is added up is gone.
ALTER TABLE event_counts SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION events_arrived() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO event_counts
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
        COUNT(*)
    FROM arrived GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE FUNCTION events_left() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO event_counts
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
        -COUNT(*)
    FROM gone GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE FUNCTION event_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO event_counts VALUES (
        OLD.console,
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END,
        -1
    ), (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        1
    );
    RETURN NULL;
END $$;

-- Replicas that work meanwhile wait from here to the end, so that nothing is missed or counted twice.
LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE;

CREATE TRIGGER events_counted_in AFTER INSERT ON events
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION events_arrived();
CREATE TRIGGER events_counted_out AFTER DELETE ON events
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION events_left();
CREATE TRIGGER events_counted_over AFTER UPDATE OF state, follows ON events FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR (OLD.follows IS NULL) <> (NEW.follows IS NULL))
    EXECUTE FUNCTION event_moved();

INSERT INTO event_counts
SELECT console,
    CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
    COUNT(*)
FROM events GROUP BY 1, 2;
