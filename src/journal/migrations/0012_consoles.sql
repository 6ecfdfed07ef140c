-- What is due, each console apart: a thousand events that wait for one console that does not answer are
-- not in the way of another's.
DROP INDEX events_due;
CREATE INDEX events_due ON events (console, due_at, id) WHERE state = 'pending';
