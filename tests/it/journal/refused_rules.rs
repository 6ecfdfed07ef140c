//! Refused rules in the journal: shared by all replicas and consoles, for the version of OpenCTI that
//! refused them.

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    journal::{Journal, PruneBefore, RuleRefusal, WorkPart},
};

use crate::support::stores::{CONSOLE, Database, Fresh, on_both_databases};

struct Store(Fresh, Database);

impl Store {
    async fn on(database: Database) -> Self {
        Self(database.fresh().await, database)
    }
}

fn refusal(work: &str) -> RuleRefusal {
    RuleRefusal {
        indicator: "indicator--1".to_owned(),
        name: "one".to_owned(),
        reason: "no".to_owned(),
        work: work.to_owned(),
        event: None,
        refused_at: Clock::system().now(),
    }
}

async fn all_replicas_and_consoles_know_a_refused_rule_which_is_new_once_and_ends(store: Store) {
    let one = store.0.open().await;
    let other = match store.1 {
        Database::Sqlite => one.of_console(CONSOLE),
        Database::Postgres => store.0.open().await,
    };
    let paris = other.of_console("https://paris.example");
    let now = Clock::system().now();
    one.note_platform_version("7.260817.0").await.unwrap();
    one.work_opened("work", &[], now - TimeDelta::days(6)).await.unwrap();
    let rule = refusal("work");
    let kept = one.refuse_rule(&rule).await.unwrap().unwrap();
    assert_eq!((&*kept.name, &*kept.platform), ("one", "7.260817.0"));
    assert_eq!(paris.refuse_rule(&rule).await.unwrap(), None, "it was left out already");
    let shown = paris.left_out_rules(now).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!((&*shown[0].name, &*shown[0].reason), ("one", "no"));
    let unnamed = RuleRefusal {
        indicator: "indicator--2".to_owned(),
        name: String::new(),
        refused_at: now - TimeDelta::days(5),
        ..rule.clone()
    };
    let named = one.refuse_rule(&unnamed).await.unwrap().unwrap();
    assert_eq!(named.name, "indicator--2", "nobody knows its name");
    let unread = RuleRefusal { work: "another".to_owned(), ..rule };
    assert_eq!(one.refuse_rule(&unread).await.unwrap(), None, "no such work");

    let left_out = async |journal: &Journal, days| {
        let rules = journal.left_out_rules(now + TimeDelta::days(days)).await.unwrap();
        rules.into_iter().map(|rule| rule.indicator).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&other, 1).await, ["indicator--1", "indicator--2"]);
    assert_eq!(left_out(&other, 3).await, ["indicator--1"]);
    assert_eq!(left_out(&other, 1).await.len(), 2, "both are kept");
    one.prune(PruneBefore::default(), 10, now + TimeDelta::days(3)).await.unwrap();
    assert_eq!(left_out(&other, 1).await, ["indicator--1"]);
    paris.start_over(&[]).await.unwrap();
    assert_eq!(left_out(&one, 1).await, Vec::<String>::new());
}

async fn a_refusal_counts_for_the_version_that_was_known_when_its_work_was_opened(store: Store) {
    let journal = store.0.open().await;
    let now = Clock::system().now();
    let left_out = async || journal.left_out_rules(now).await.unwrap();
    journal.work_opened("of an unknown version", &[], now).await.unwrap();
    journal.note_platform_version("7.260817.0").await.unwrap();
    journal.work_opened("before", &[], now).await.unwrap();
    journal.note_platform_version("7.260901.0").await.unwrap();
    assert_eq!(journal.refuse_rule(&refusal("before")).await.unwrap(), None);
    assert_eq!(left_out().await, [], "the version before refused it");
    journal.work_opened("after", &[], now).await.unwrap();
    let kept = journal.refuse_rule(&refusal("after")).await.unwrap().unwrap();
    assert_eq!(kept.platform, "7.260901.0");
    assert_eq!(left_out().await.len(), 1);
    journal.note_platform_version("7.261001.0").await.unwrap();
    assert_eq!(left_out().await, [], "none of them holds after an upgrade");
    let kept = journal.refuse_rule(&refusal("of an unknown version")).await.unwrap();
    assert!(kept.is_some(), "as if it were of the present one");
}

async fn a_work_that_brought_an_indicator_is_found_until_it_is_read(store: Store) {
    let journal = store.0.open().await;
    let now = Clock::system().now();
    let part = |event, objects: &[&str]| WorkPart {
        event,
        objects: objects.iter().map(|id| (*id).to_owned()).collect(),
    };
    let parts =
        [part(1, &["incident--1", "indicator--1"]), part(2, &["indicator--1", "indicator--2"])];
    journal.work_opened("one", &parts, now).await.unwrap();
    journal.work_opened("two", &parts[1..], now).await.unwrap();
    let with = async |indicator, work| journal.works_with(indicator, work, 5).await.unwrap();
    assert_eq!(with("indicator--1", "two").await, ["one"]);
    assert_eq!(with("indicator--2", "one").await, ["two"]);
    assert_eq!(with("indicator--3", "one").await, Vec::<String>::new());
    journal.remove_work("two", &[]).await.unwrap();
    assert_eq!(with("indicator--2", "one").await, Vec::<String>::new());
}

on_both_databases!(
    all_replicas_and_consoles_know_a_refused_rule_which_is_new_once_and_ends,
    a_refusal_counts_for_the_version_that_was_known_when_its_work_was_opened,
    a_work_that_brought_an_indicator_is_found_until_it_is_read,
);
