//! The state of several consoles in OpenCTI, what is taken from there, and what a reset leaves behind;
//! and that in one journal consoles do not meet.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    harfanglab::Listing,
    journal::{Journal, Outcome, PruneBefore, WorkPart},
    label::ConsoleLabel,
    sweep::{ConnectorState, Cursor, Kept},
};
use serde_json::{Value, json};

use crate::{
    journal::dead_letters::Store,
    support::{notifications::native, stores::on_both_databases},
};

const ALERTS: &str = "last_incident_datetime";
const THREATS: &str = "last_case_incident_datetime";

fn at(day: u32) -> DateTime<Utc> {
    format!("2026-05-{day:02}T00:00:00Z").parse().unwrap()
}

/// Two consoles in one journal.
struct Two {
    _store: Store,
    lyon: Journal,
    paris: Journal,
    state: ConnectorState,
}

impl Two {
    fn of(store: Store) -> Self {
        let of = |name: &str| store.journal.of_console(&format!("https://{name}.example/"));
        let (lyon, paris) = (of("lyon"), of("paris"));
        let kept = |name: &str, journal: &Journal| Kept {
            console: ConsoleLabel::of(name),
            journal: journal.clone(),
        };
        let state = ConnectorState::new(vec![kept("lyon", &lyon), kept("paris", &paris)]);
        Self { _store: store, lyon, paris, state }
    }

    async fn told(&self) -> Value {
        self.state.told().await.unwrap().unwrap_or_default()
    }

    async fn taken_over(&self, remote: &Value) -> Vec<String> {
        let found = self.state.to_take_over(remote).await.unwrap();
        found.iter().map(|(kept, _own)| kept.console.name().unwrap().to_owned()).collect()
    }
}

async fn the_two_names_have_the_least_cursor_and_none_until_every_console_has_one(store: Store) {
    let two = Two::of(store);
    assert_eq!(two.told().await, Value::Null);
    Cursor::new(&two.paris, Listing::Alerts).advance(at(9)).await.unwrap();
    let told = two.told().await;
    assert_eq!(
        told,
        json!({"consoles": {
            "lyon": {}, "paris": {ALERTS: "2026-05-09T00:00:00+00:00", "incident_name": "title"},
        }})
    );
    Cursor::new(&two.lyon, Listing::Alerts).advance(at(7)).await.unwrap();
    // Not every console need import threats.
    Cursor::new(&two.lyon, Listing::Threats).advance(at(8)).await.unwrap();
    let told = two.told().await;
    assert_eq!(told[ALERTS], "2026-05-07T00:00:00+00:00");
    assert_eq!(told[THREATS], "2026-05-08T00:00:00+00:00");
    assert_eq!(told["consoles"]["paris"][ALERTS], "2026-05-09T00:00:00+00:00");
}

async fn a_state_without_names_is_the_first_consoles_and_one_with_names_is_each_ones_own(
    store: Store,
) {
    let two = Two::of(store);
    let of_python = json!({ALERTS: "2026-05-07T00:00:00+00:00"});
    assert_eq!(two.taken_over(&of_python).await, ["lyon"]);
    let mut named = of_python.clone();
    named["consoles"] = json!({"paris": of_python, "rome": of_python});
    assert_eq!(two.taken_over(&named).await, ["paris"], "lyon is new: it begins at its start");
    Cursor::new(&two.paris, Listing::Alerts).advance(at(1)).await.unwrap();
    assert_eq!(two.taken_over(&named).await, [""; 0], "the journal's own cursor stands");
}

async fn a_reset_that_was_cut_off_between_two_consoles_is_there_until_both_have_heeded_it(
    store: Store,
) {
    let two = Two::of(store);
    for journal in [&two.lyon, &two.paris] {
        Cursor::new(journal, Listing::Alerts).advance(at(9)).await.unwrap();
        let accepted = journal.append(&[vec![native("same", "new")]]).await.unwrap()[0].accepted;
        assert_eq!(accepted, 1, "the same id is another console's own");
    }
    two.state.reset_asked_for().await.unwrap();
    // The process ends here.
    assert!(two.state.is_reset_asked_for().await.unwrap());
    two.state.start_over().await.unwrap();
    assert!(!two.state.is_reset_asked_for().await.unwrap());
    assert_eq!(two.told().await, Value::Null, "both begin at their start dates");
    for journal in [&two.lyon, &two.paris] {
        let receipt = journal.append(&[vec![native("same", "new")]]).await.unwrap()[0];
        assert_eq!((receipt.accepted, receipt.duplicates), (1, 0), "everything is new again");
    }
}

async fn what_waits_leaves_works_and_is_pruned_belongs_to_its_console_alone(store: Store) {
    let two = Two::of(store);
    let now = Clock::system().now();
    for number in 0..50 {
        let flood = native(&format!("of-paris-{number}"), "new");
        two.paris.append(&[vec![flood]]).await.unwrap();
    }
    two.lyon.append(&[vec![native("of-lyon", "new")]]).await.unwrap();
    let due = now + TimeDelta::minutes(1);
    let claimed = two.lyon.claim(10, Duration::from_mins(1), due).await.unwrap();
    assert_eq!(claimed.len(), 1, "not behind the fifty of the other");
    assert_eq!(two.paris.claim(100, Duration::from_mins(1), due).await.unwrap().len(), 50);

    // Sinks are shared, and note works in the journal of whichever console came first.
    let part = WorkPart { event: claimed[0].claim.event, objects: vec!["incident--1".to_owned()] };
    two.paris.work_opened("work_1", &[part], now).await.unwrap();
    two.paris.work_closed("work_1", now, now).await.unwrap();
    let due_works = async |journal: &Journal| journal.works_due(10, due).await.unwrap().len();
    assert_eq!((due_works(&two.lyon).await, due_works(&two.paris).await), (1, 0));

    let root_id = "incident--1".to_owned();
    let outcome = Outcome::Delivered { root_id, remark: None };
    two.lyon.finish(&[(claimed[0].claim, outcome)], now).await.unwrap();
    assert_eq!((two.lyon.pending().await.unwrap(), two.paris.pending().await.unwrap()), (0, 50));
    // What it sent may have to leave once more until its work was read.
    two.paris.remove_work("work_1", &[]).await.unwrap();
    let before = PruneBefore { finished: Some(due), letters: None, rows: Some(due) };
    let pruned = two.paris.prune(before, 100, now).await.unwrap();
    assert_eq!((pruned.bodies, pruned.rows), (1, 1), "of whichever console");
    assert_eq!(two.lyon.counts().await.unwrap().delivered, 0);
}

on_both_databases!(
    the_two_names_have_the_least_cursor_and_none_until_every_console_has_one,
    a_state_without_names_is_the_first_consoles_and_one_with_names_is_each_ones_own,
    a_reset_that_was_cut_off_between_two_consoles_is_there_until_both_have_heeded_it,
    what_waits_leaves_works_and_is_pruned_belongs_to_its_console_alone,
);
