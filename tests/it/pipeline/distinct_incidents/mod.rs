//! Two alerts are never one incident, though rule, host and millisecond are the same.

mod cost;

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    alert::IncidentIdentity,
    clock::Clock,
    demo::{Generator, Kind},
    intake::dialect::Dialect,
    journal::Journal,
};
use reqwest::StatusCode;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::{
    journal::events::Store,
    support::{
        notifications::{alert, identity, start},
        pipeline::{TestPipeline, incident},
        stage::{Stage, post},
        stores::{CONSOLE, Database, on_both_databases, open_sqlite},
        waiting::until,
    },
};

/// The rule of the alerts, as they may carry it.
const RULE: &str = "title: Suspicious Thing\ndate: 2026/01/02\nlogsource:\n  product: windows\n\
     detection:\n  selection:\n    Image: a.exe\n  condition: selection\n";
const OTHER_CONSOLE: &str = "https://other.example";

fn at(milliseconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::milliseconds(milliseconds)
}

/// Fixes incidents of these keys together, all of one name and millisecond.
async fn fix(journal: &Journal, keys: &[&str]) -> Vec<DateTime<Utc>> {
    let wanted: Vec<_> = keys.iter().map(|key| ((*key).to_owned(), identity("Twin"))).collect();
    let fixed = journal.fix_identities(&wanted).await.unwrap();
    assert!(fixed.iter().all(|fixed| fixed.name == "Twin"), "{fixed:?}");
    fixed.into_iter().map(|fixed| fixed.created).collect()
}

async fn of_alerts_with_one_name_and_millisecond_each_later_one_gets_the_next_free_one(
    store: Store,
) {
    let journal = &store.journal;
    let others = [("x", "Twin", at(2)), ("threat:1", "Twin", at(0)), ("y", "Other", at(0))];
    for (key, name, created) in others {
        let wanted = IncidentIdentity { name: name.to_owned(), created };
        let fixed = journal.fix_identities(&[(key.to_owned(), wanted.clone())]).await.unwrap();
        assert_eq!(fixed, [wanted], "{key} is in nobody's way");
    }
    assert_eq!(fix(journal, &["c", "a", "b"]).await, [at(3), at(0), at(1)], "by their keys");
    assert_eq!(fix(journal, &["b", "c"]).await, [at(1), at(3)], "what is fixed stays");
    let alike = IncidentIdentity {
        name: " TWIN".to_owned(),
        created: start() + TimeDelta::microseconds(400),
    };
    let fixed = journal.fix_identities(&[("d".to_owned(), alike)]).await.unwrap();
    assert_eq!(fixed[0].created, at(4) + TimeDelta::microseconds(400), "OpenCTI folds both");
    assert_eq!(fixed[0].name, " TWIN");

    let other = journal.of_console(OTHER_CONSOLE);
    assert_eq!(fix(&other, &["b", "e", "x"]).await, [at(1), at(5), at(2)], "one incident of b");
    let many: Vec<String> = (0..300).map(|number| format!("many-{number:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let expected: Vec<_> = (6..306).map(at).collect();
    assert_eq!(fix(journal, &many).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_and_consoles_that_fix_such_alerts_at_once_share_no_incident() {
    let place = Database::Postgres.fresh().await;
    let replicas = [place.open().await, place.open().await];
    let mut fixing = tokio::task::JoinSet::new();
    for number in 0..40 {
        let replica = replicas[number % 2].clone();
        fixing.spawn(async move {
            let journal = if number % 4 < 2 { replica } else { replica.of_console(OTHER_CONSOLE) };
            fix(&journal, &[&format!("alert-{number}")]).await.remove(0)
        });
    }
    let dates: BTreeSet<_> = fixing.join_all().await.into_iter().collect();
    assert_eq!(dates, (0..40).map(at).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_fix_the_same_names_in_opposite_orders_never_wait_in_a_circle() {
    let place = Database::Postgres.fresh().await;
    let replicas = [place.open().await, place.open().await];
    let mut fixing = tokio::task::JoinSet::new();
    for number in 0..24 {
        let journal = replicas[number % 2].clone();
        fixing.spawn(async move {
            let mut wanted: Vec<_> = (0..20)
                .map(|name| (format!("alert-{number}-{name}"), identity(&format!("Name {name}"))))
                .collect();
            if number % 2 == 0 {
                wanted.reverse();
            }
            journal.fix_identities(&wanted).await.unwrap()
        });
    }
    let fixed = fixing.join_all().await.concat();
    let ids: BTreeSet<_> = fixed.iter().map(|fixed| (&fixed.name, fixed.created)).collect();
    assert_eq!(ids.len(), 24 * 20, "each has its own name and date");
    assert!(fixed.iter().all(|fixed| fixed.created < at(24)), "and the first free one");
}

#[tokio::test]
async fn an_alert_does_not_wait_for_another_name_that_is_being_fixed_and_does_for_its_own() {
    let place = Database::Postgres.fresh().await;
    let (slow, other) = (place.open().await, place.open().await);
    // Whoever fixes this alert waits for what becomes of its row here.
    let mut beside = PgConnection::connect(&place.url).await.unwrap();
    let row = "BEGIN; INSERT INTO incidents (console, key, name, created_at_us, folded_id) \
         VALUES ('https://console.example', 'slow', 'Gone', 0, 'gone')";
    beside.execute(sqlx::raw_sql(row)).await.unwrap();
    let slow = tokio::spawn(async move { fix(&slow, &["slow"]).await });
    let behind_us = "SELECT pid FROM pg_locks WHERE NOT granted \
         AND pg_backend_pid() = ANY(pg_blocking_pids(pid))";
    let behind_slow = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_blocking_pids(pid) && \
         ARRAY(SELECT pid FROM pg_locks WHERE NOT granted \
             AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))";
    let waits = async |what, asking: &'static str, beside: &mut PgConnection| {
        until(what, async || beside.fetch_optional(sqlx::raw_sql(asking)).await.unwrap()).await;
    };
    waits("the slow one waits for us", behind_us, &mut beside).await;
    let wanted = [("apart".to_owned(), identity("Another name"))];
    assert_eq!(other.fix_identities(&wanted).await.unwrap(), [wanted[0].1.clone()]);
    let twin = tokio::spawn(async move { fix(&other, &["twin"]).await });
    waits("its twin waits for the slow one", behind_slow, &mut beside).await;
    beside.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
    assert_eq!((slow.await.unwrap(), twin.await.unwrap()), (vec![at(0)], vec![at(1)]));
}

async fn an_alert_that_was_moved_has_its_date_at_another_console_though_many_were_moved_after_it(
    store: Store,
) {
    let journal = &store.journal;
    assert_eq!(fix(journal, &["a", "b"]).await, [at(0), at(1)]);
    let many: Vec<String> = (0..40).map(|number| format!("many-{number:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    fix(journal, &many).await;
    let other = journal.of_console(OTHER_CONSOLE);
    assert_eq!(fix(&other, &["b", "z", "many-30"]).await, [at(1), at(42), at(32)]);
    // One that has a name of its own there.
    let own = IncidentIdentity { name: "Of its own".to_owned(), created: at(7) };
    other.fix_identities(&[("a".to_owned(), own.clone())]).await.unwrap();
    let third = journal.of_console("https://third.example");
    assert_eq!(fix(&third, &["a"]).await, [at(0)]);
}

#[tokio::test]
async fn an_incident_that_an_older_version_fixed_keeps_its_name_and_date_to_itself() {
    let place = Database::Sqlite.fresh().await;
    let journal = open_sqlite(&place.url, CONSOLE).await;
    let mut beside = SqliteConnection::connect(&place.url).await.unwrap();
    let old = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
         INSERT INTO incidents (console, key, name, created_at_us) \
         SELECT $1, 'old-' || i, 'Twin', $2 + i / 2 * 1000 FROM n";
    let old = sqlx::query(old).bind(CONSOLE).bind(start().timestamp_micros());
    old.execute(&mut beside).await.unwrap();
    assert_eq!(fix(&journal, &["new", "old-1", "old-1200"]).await, [at(601), at(0), at(600)]);
}

#[tokio::test]
async fn three_alerts_of_one_rule_host_and_millisecond_have_their_ids_again_after_a_lost_journal() {
    let mut before = None;
    for order in [["c", "a", "b"], ["c", "a", "b"], ["b", "c", "a"]] {
        let mut rig = TestPipeline::start(|_| {}).await;
        rig.console.set_latency(Duration::from_millis(20));
        let alerts = order.map(|key| {
            let mut alert = alert(key, "new");
            // As the console lists it.
            alert["id"] = format!("page-of-{key}").into();
            if key != "a" {
                // The console is asked less about these, so that they are known first.
                alert["rule_content"] = RULE.into();
            }
            alert
        });
        rig.push_together(Dialect::NativeAlert, &alerts).await;
        let bundles = rig.delivered(3).await;
        let ids: BTreeSet<_> = bundles.iter().map(|it| incident(it)["id"].to_string()).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
        let mut dates = Vec::new();
        for key in ["a", "b", "c"] {
            let story = rig.journal.event_history(key).await.unwrap().unwrap();
            dates.push(story.identity.unwrap().created);
        }
        let first: DateTime<Utc> = "2026-05-26T07:39:58.447687Z".parse().unwrap();
        let milliseconds = [0, 1, 2].map(TimeDelta::milliseconds);
        assert_eq!(dates, milliseconds.map(|later| first + later));
        assert_eq!(*before.get_or_insert(ids.clone()), ids);
    }
}

#[tokio::test]
async fn an_alert_whose_name_others_hold_is_put_back_and_counted_and_leaves_once_it_is_free() {
    let mut stage = Stage::with_webhook().await;
    let fresh = Database::Postgres.fresh().await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &fresh.url);
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let webhook = app.webhook().await;
    let mut beside = PgConnection::connect(&fresh.url).await.unwrap();
    let hold = "SELECT pg_advisory_lock(\
         hashtextextended(current_schema() || ' harfanglab-incidents identities ', 0))";
    beside.execute(sqlx::raw_sql(hold)).await.unwrap();
    let raised = Generator::new(3).alert(Kind::SigmaEventLog, Clock::system().now());
    let (status, answer) = post(&webhook, &raised.native()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let metric = "events_put_back_for_names_total";
    until("it is put back", async || (app.metric(metric).await > 0).then_some(())).await;
    beside.close().await.unwrap();
    assert_eq!(stage.closed_works(1).await.len(), 1);
    assert!(app.terminate().await.success());
}

on_both_databases! {
    of_alerts_with_one_name_and_millisecond_each_later_one_gets_the_next_free_one,
    an_alert_that_was_moved_has_its_date_at_another_console_though_many_were_moved_after_it,
}
