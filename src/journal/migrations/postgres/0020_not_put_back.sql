-- Pending events that were not put back, which share each claim with those that were.
CREATE INDEX events_not_put_back ON events (console, due_at, id)
    WHERE state = 'pending' AND (reason IS NULL OR follows IS NOT NULL);
