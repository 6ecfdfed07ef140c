-- Dead letters that a person asks for again, and events that ended long ago.

-- Claims before the last time a person asked for another try. Tries are counted from there;
-- `attempts` itself only grows, because claims are fenced by it.
ALTER TABLE events ADD COLUMN attempts_before INTEGER NOT NULL DEFAULT 0;
-- When the body was removed. Key and version stay, so that the version is still recognised.
ALTER TABLE events ADD COLUMN pruned_at INTEGER;

CREATE INDEX events_to_prune ON events (finished_at)
    WHERE finished_at IS NOT NULL AND pruned_at IS NULL;
CREATE INDEX events_pruned ON events (pruned_at) WHERE pruned_at IS NOT NULL;
