//! Access to the console: what it denies, and until when it is not asked for that again.
//!
//! 401 and 403 need a person, so the same question is asked slowly until somebody has acted, and
//! whoever watches is told once. A 403 concerns one part of the API, a 401 all of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::ConsoleError;

/// The refusals of the console, by part of the API.
pub(super) struct Access {
    denied: Mutex<BTreeMap<String, Denial>>,
    told: watch::Sender<Option<String>>,
    /// Time for which what was denied is not asked for again.
    pause: Duration,
}

struct Denial {
    error: ConsoleError,
    since: Instant,
}

impl Access {
    /// Nothing is denied so far.
    pub(super) fn new(pause: Duration) -> Self {
        Self { denied: Mutex::default(), told: watch::Sender::new(None), pause }
    }

    /// Returns what is denied, in an operator's words; `None` while everything is answered.
    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }

    /// The error with which `path` was denied a moment ago, if it was: not to be asked again yet.
    pub(super) fn denied_lately(&self, path: &str) -> Option<ConsoleError> {
        let denied = self.denied.lock();
        let of_token = denied.values().find(|denial| is_of_token(&denial.error));
        let denial = denied.get(part(path)).or(of_token)?;
        (denial.since.elapsed() < self.pause).then(|| denial.error.clone())
    }

    /// Learns from how `path` was answered.
    pub(super) fn learn<T>(&self, path: &str, answer: &Result<T, ConsoleError>) {
        let mut denied = self.denied.lock();
        match answer {
            Err(error) if error.is_denied() => {
                let denial = Denial { error: error.clone(), since: Instant::now() };
                denied.insert(part(path).to_owned(), denial);
            }
            // Whoever answers, be it with "no such thing", has let us in.
            Ok(_) | Err(ConsoleError::NotFound { .. } | ConsoleError::Busy { .. }) => {
                denied.retain(|place, denial| place != part(path) && !is_of_token(&denial.error));
            }
            Err(_) => return,
        }
        let words = denied.values().next().map(|denial| denial.error.to_string());
        // Told when it begins and when it ends, not each time it is met again.
        self.told.send_if_modified(|told| {
            let changes = told.is_some() != words.is_some();
            if changes {
                *told = words;
            }
            changes
        });
    }
}

fn is_of_token(error: &ConsoleError) -> bool {
    matches!(error, ConsoleError::TokenRefused { .. })
}

/// The part of the API that a path belongs to: up to its collection, the one segment of the API's
/// paths that begins with a capital.
fn part(path: &str) -> &str {
    let mut end = path.find("/api/").map_or(0, |begin| begin + 1);
    for segment in path[end..].split_inclusive('/') {
        end += segment.len();
        if segment.starts_with(|first: char| first.is_ascii_uppercase()) {
            break;
        }
    }
    path[..end].trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERTS: &str = "/edr/api/data/alert/alert/Alert/";
    const RULE: &str = "/edr/api/data/threat_intelligence/SigmaRule/";

    fn denied(forbidden: &str) -> Result<(), ConsoleError> {
        let (path, said) = (forbidden.to_owned(), "no".to_owned());
        Err(ConsoleError::Forbidden { path, said })
    }

    #[test]
    fn a_denied_part_is_not_asked_again_at_once_and_the_others_are() {
        let access = Access::new(Duration::from_mins(1));
        access.learn(RULE, &denied(RULE));
        assert!(access.denied_lately(RULE).is_some());
        assert!(access.denied_lately(ALERTS).is_none());
        access.learn(ALERTS, &Ok(()));
        assert!(access.watch().borrow().is_some(), "one part is still denied");
        access.learn(RULE, &Ok(()));
        assert!(access.watch().borrow().is_none());
        assert!(access.denied_lately(RULE).is_none());
    }

    #[test]
    fn a_refused_token_holds_for_all_parts_and_is_told_once() {
        let access = Access::new(Duration::from_mins(1));
        let mut told = access.watch();
        let refused: Result<(), _> = Err(ConsoleError::TokenRefused {
            path: ALERTS.to_owned(),
            said: "Invalid token.".to_owned(),
        });
        access.learn(ALERTS, &refused);
        assert!(access.denied_lately(RULE).is_some());
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
        access.learn(RULE, &refused);
        assert!(!told.has_changed().unwrap(), "told once");
        access.learn(RULE, &Ok(()));
        assert!(told.has_changed().unwrap() && told.borrow().is_none(), "and when it is over");
    }

    #[test]
    fn parts_are_told_apart_behind_a_base_path_too() {
        let alerts = "/edr/api/data/alert/alert/Alert";
        assert_eq!(part("/edr/api/data/alert/alert/Alert/x/details/"), alerts);
        assert_eq!(part(ALERTS), alerts);
        assert_eq!(part("/Edr/api/data/endpoint/Agent/1/"), "/Edr/api/data/endpoint/Agent");
        assert_eq!(part("/api/version"), "/api/version");
    }
}
