//! Puts the errors of a work on the events whose objects they are about.
//!
//! Does not live here: reading them (`opencti`), keeping them (`journal`).

use std::collections::{HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};

use crate::{
    journal::{EventId, Refusal, WorkPart},
    opencti::WorkError,
};

/// Returns each error with the event whose object it is about. An object that several events sent was refused as often as the
/// platform says, in the order in which they sent it. An error that names no object is put on the
/// event that was alone in the work; our own note that the work was interrupted is none.
pub(super) fn matched(
    work: &str,
    errors: Vec<WorkError>,
    parts: Vec<WorkPart>,
    now: DateTime<Utc>,
) -> Vec<Refusal> {
    let events: HashSet<EventId> = parts.iter().map(|part| part.event).collect();
    let alone = (events.len() == 1).then(|| events.iter().next().copied()).flatten();
    let mut senders: HashMap<String, VecDeque<EventId>> = HashMap::new();
    for part in parts {
        for object in part.objects {
            senders.entry(object).or_default().push_back(part.event);
        }
    }
    errors
        .into_iter()
        .filter(|error| !error.is_our_note())
        .map(|error| {
            let object = error.object.unwrap_or_default();
            let event = match senders.get_mut(&object) {
                Some(several) if several.len() > 1 => several.pop_front(),
                Some(last) => last.front().copied(),
                None => alone,
            };
            let (reason, work) = (error.reason, work.to_owned());
            Refusal { event, object, reason, work, refused_at: now }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opencti::CONTINUED;

    fn error(object: Option<&str>, reason: &str) -> WorkError {
        WorkError {
            object: object.map(str::to_owned),
            name: None,
            refers_to: Vec::new(),
            reason: reason.to_owned(),
            at: None,
        }
    }

    fn part(event: EventId, objects: &[&str]) -> WorkPart {
        WorkPart { event, objects: objects.iter().map(|id| (*id).to_owned()).collect() }
    }

    fn events(errors: Vec<WorkError>, parts: Vec<WorkPart>) -> Vec<Option<EventId>> {
        let now = DateTime::UNIX_EPOCH;
        matched("work_1", errors, parts, now).into_iter().map(|refusal| refusal.event).collect()
    }

    #[test]
    fn an_error_finds_the_event_that_sent_the_object() {
        let parts = || vec![part(1, &["a--1", "b--1"]), part(2, &["a--1", "b--2"])];
        assert_eq!(events(vec![error(Some("b--2"), "no")], parts()), [Some(2)]);
        let twice = vec![error(Some("a--1"), "no"), error(Some("a--1"), "no")];
        assert_eq!(events(twice, parts()), [Some(1), Some(2)], "refused once for each");
        assert_eq!(events(vec![error(Some("c--1"), "no")], parts()), [None]);
        assert_eq!(events(vec![error(None, "no")], vec![part(7, &["a--1"])]), [Some(7)]);
        let own = format!("2 of 3 objects were queued, the rest {CONTINUED}");
        assert_eq!(events(vec![error(None, &own)], parts()), []);
    }
}
