-- A follow-up is a row of its own that completes a delivered one: what the console did not show
-- when the alert left is asked for until the deadline, then left to the sweep.

-- Id of the delivered row it completes; NULL in every row that was received.
ALTER TABLE events ADD COLUMN follows INTEGER;
-- What that row was delivered without: some of page, rule, host.
ALTER TABLE events ADD COLUMN lacking TEXT;
ALTER TABLE events ADD COLUMN deadline_at INTEGER;
-- When it found nothing more in its time; NULL again when the sweep takes it up.
ALTER TABLE events ADD COLUMN gave_up_at INTEGER;

CREATE INDEX events_follow_ups ON events (follows) WHERE follows IS NOT NULL;
-- Holds all that the counts need, so that a probe does not read the bodies.
CREATE INDEX events_by_state ON events (console, state, follows, received_at);
