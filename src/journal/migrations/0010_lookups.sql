-- What is looked up often, answered without walking over what does not matter.

-- The unfinished alerts of a threat: asked for by each try of the threat.
CREATE INDEX events_unfinished_of_threat ON events (console, threat_key, dialect, follows)
    WHERE state = 'pending' AND threat_key IS NOT NULL;

-- What is to be emptied, by how long it is kept: letters that are kept longer are not in the way.
DROP INDEX events_to_prune;
CREATE INDEX events_to_prune ON events (finished_at)
    WHERE pruned_at IS NULL AND state IN ('delivered', 'filtered', 'superseded');
CREATE INDEX events_letters_to_prune ON events (finished_at)
    WHERE pruned_at IS NULL AND state IN ('dead', 'dropped');

-- Incident or case by its id.
CREATE INDEX events_by_root ON events (console, root_id) WHERE root_id IS NOT NULL;

-- Whether anything of a threat is young is told without its rows.
DROP INDEX events_of_threat;
CREATE INDEX events_of_threat ON events (console, threat_key, pruned_at)
    WHERE threat_key IS NOT NULL;
