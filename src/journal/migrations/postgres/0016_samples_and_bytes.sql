-- What may be removed when space runs short, and what takes it.

-- For a sample of an unknown kind the digest of its shape; NULL in every other row.
ALTER TABLE events ADD COLUMN shape TEXT COLLATE "C";
CREATE INDEX events_samples ON events (received_at) WHERE shape IS NOT NULL AND pruned_at IS NULL;
-- Texts of what was dropped before dropping removed them.
CREATE INDEX events_dropped ON events (finished_at) WHERE pruned_at IS NULL AND state = 'dropped';

-- What their texts take, likewise: rows that are added up. A table of its own, because the version before
-- adds up the numbers of events and knows nothing of bytes.
CREATE TABLE text_bytes (
    console TEXT COLLATE "C" NOT NULL,
    standing TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL
);

ALTER TABLE text_bytes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION texts_arrived() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO text_bytes
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
        SUM(OCTET_LENGTH(body))
    FROM arrived GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE FUNCTION texts_left() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO text_bytes
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END,
        -SUM(OCTET_LENGTH(body))
    FROM gone GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE FUNCTION text_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO text_bytes VALUES (
        OLD.console,
        CASE WHEN OLD.state = 'pending' AND OLD.follows IS NOT NULL THEN 'following-up'
            ELSE OLD.state END,
        -OCTET_LENGTH(OLD.body)
    ), (
        NEW.console,
        CASE WHEN NEW.state = 'pending' AND NEW.follows IS NOT NULL THEN 'following-up'
            ELSE NEW.state END,
        OCTET_LENGTH(NEW.body)
    );
    RETURN NULL;
END $$;

-- Replicas that work meanwhile wait from here to the end, so that nothing is missed or counted twice.
LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE;

CREATE TRIGGER texts_counted_in AFTER INSERT ON events
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION texts_arrived();
CREATE TRIGGER texts_counted_out AFTER DELETE ON events
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION texts_left();
CREATE TRIGGER texts_counted_over AFTER UPDATE OF state, follows, body ON events FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR (OLD.follows IS NULL) <> (NEW.follows IS NULL)
        OR OCTET_LENGTH(OLD.body) <> OCTET_LENGTH(NEW.body))
    EXECUTE FUNCTION text_moved();

-- Lengths are taken before anything is sorted: texts, as far as they stand in their rows, would be
-- sorted along. OFFSET 0 keeps the planner from merging the two.
INSERT INTO text_bytes
SELECT console, standing, SUM(bytes) FROM (
    SELECT console,
        CASE WHEN state = 'pending' AND follows IS NOT NULL THEN 'following-up' ELSE state END
            AS standing,
        OCTET_LENGTH(body) AS bytes
    FROM events OFFSET 0
) AS texts GROUP BY 1, 2;
