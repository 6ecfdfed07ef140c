-- What is asked for while much else waits, each apart from the rest.

-- Events that were put back for later, which do not wait behind all that was never tried.
CREATE INDEX events_put_back ON events (console, due_at, id)
    WHERE state = 'pending' AND reason IS NOT NULL AND follows IS NULL;
-- Follow-ups that wait: they end when space runs short.
CREATE INDEX events_following_up ON events (due_at) WHERE state = 'pending' AND follows > 0;
-- Works whose end was not noted.
CREATE INDEX works_unnoted ON works (console, opened_at)
    WHERE closed_at IS NULL AND look_at IS NULL;
