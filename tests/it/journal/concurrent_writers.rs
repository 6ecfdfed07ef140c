//! Several replicas on one PostgreSQL journal at the same moment: what SQLite's one writer makes
//! atomic by itself holds here, too.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use harfanglab_incidents::{
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::{CaseObjects, CaseStanding, Journal, Outcome, PostgresDatabase},
};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::support::{
    notifications::{alert, delivered, native, start},
    stores::{CONSOLE, Database, Fresh},
};

const LEASE: Duration = Duration::from_mins(5);
const REPLICAS: usize = 3;
const KEYS: usize = 12;
const VERSIONS: [&str; 4] = ["new", "investigating", "closed", "false_positive"];

async fn replicas(place: &Fresh) -> Vec<Journal> {
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(place.replica().await);
    }
    replicas
}

/// Runs the same on every replica at once.
async fn at_once<T: Send + 'static, Work: Future<Output = T> + Send + 'static>(
    replicas: &[Journal],
    work: impl Fn(Journal) -> Work,
) -> Vec<T> {
    let mut working = JoinSet::new();
    for replica in replicas {
        working.spawn(work(replica.clone()));
    }
    working.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_bring_the_schema_up_to_date_once() {
    let place = Arc::new(Database::Postgres.fresh().await);
    let mut starting = JoinSet::new();
    for _ in 0..REPLICAS * 2 {
        let place = Arc::clone(&place);
        starting.spawn(async move { place.replica().await.pending().await.unwrap() });
    }
    assert_eq!(starting.join_all().await, [0; REPLICAS * 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_comes_to_every_replica_at_once_is_stored_once_and_versions_have_one_order()
{
    let place = Database::Postgres.fresh().await;
    let replicas = replicas(&place).await;
    for version in VERSIONS {
        let counts = at_once(&replicas, |journal| async move {
            let mut accepted = 0;
            for key in 0..KEYS {
                let batch = vec![native(&format!("alert-{key}"), version)];
                accepted += journal.append(&[batch]).await.unwrap()[0].accepted;
            }
            // All of them once more in one commit.
            let all = (0..KEYS).map(|key| native(&format!("alert-{key}"), version)).collect();
            accepted + journal.append(&[all]).await.unwrap()[0].accepted
        })
        .await;
        assert_eq!(counts.iter().sum::<usize>(), KEYS, "{version}: {counts:?}");
    }
    let story = replicas[0].event_history("alert-3").await.unwrap().unwrap();
    let order: Vec<_> = story.entries.iter().map(|chapter| chapter.version.as_str()).collect();
    assert_eq!(order.len(), VERSIONS.len(), "{order:?}");
    assert!(order.iter().zip(VERSIONS).all(|(is, was)| is.starts_with(was)), "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_claim_at_once_never_hold_one_event_twice_nor_two_versions_of_one_alert() {
    let place = Database::Postgres.fresh().await;
    let replicas = replicas(&place).await;
    for version in VERSIONS {
        let all = (0..KEYS).map(|key| native(&format!("alert-{key}"), version)).collect();
        replicas[0].append(&[all]).await.unwrap();
    }
    let held = Arc::new(Mutex::new(HashSet::new()));
    let left = Arc::new(Mutex::new(BTreeMap::<String, Vec<i64>>::new()));
    let (holding, leaving) = (Arc::clone(&held), Arc::clone(&left));
    at_once(&replicas, move |journal| {
        let (held, left) = (Arc::clone(&holding), Arc::clone(&leaving));
        async move {
            while !journal.is_drained().await.unwrap() {
                for event in journal.claim(3, LEASE, start()).await.unwrap() {
                    let key = event.key.clone();
                    assert!(held.lock().unwrap().insert(key.clone()), "{key} is held twice");
                    tokio::task::yield_now().await;
                    left.lock().unwrap().entry(key.clone()).or_default().push(event.claim.event);
                    // Before it is finished: from then on another replica may have the next one.
                    held.lock().unwrap().remove(&key);
                    journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
                }
            }
        }
    })
    .await;
    let left = left.lock().unwrap();
    assert_eq!(left.len(), KEYS);
    for (key, events) in &*left {
        assert_eq!(events.len(), VERSIONS.len(), "{key}: {events:?}");
        assert!(events.is_sorted(), "{key}: {events:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_leaves_beside_its_alerts_leaves_once_more_whoever_is_first() {
    let place = Database::Postgres.fresh().await;
    let replicas = replicas(&place).await;
    let proof = Proof::answered_by_console(start());
    for round in 1..=8 {
        let key = round.to_string();
        let threat = serde_json::json!({ "log_type": "threat", "id": key, "status": "new" });
        let threat =
            Notification::of_dialect(&proof, Dialect::NativeThreat, &threat, threat.to_string());
        let mut of_threat = alert(&format!("alert-{round}"), "new");
        of_threat["threat_key"] = key.clone().into();
        let of_threat = Notification::of_dialect(
            &proof,
            Dialect::NativeAlert,
            &of_threat,
            of_threat.to_string(),
        );
        replicas[0].append(&[vec![threat, of_threat]]).await.unwrap();
        let events = replicas[0].claim(2, LEASE, start()).await.unwrap();
        let (case, alert) = (events[0].claim, events[1].claim);
        // The alert's delivery notes what the case is to refer to, and ends; the case ends meanwhile.
        let root_id = format!("incident--00000000-0000-5000-8000-00000000000{round}");
        let kept = CaseObjects {
            threat_key: key.clone(),
            object_ids: vec![root_id.clone()],
            standing: CaseStanding::Waiting,
        };
        let (one, other) = (replicas[1].clone(), replicas[2].clone());
        let alert_leaves = tokio::spawn(async move {
            one.keep_case_objects(&[kept]).await.unwrap();
            one.finish(&[(alert, Outcome::Delivered { root_id, remark: None })], start())
                .await
                .unwrap();
        });
        let case_leaves = tokio::spawn(async move {
            let root_id = "case-incident--1".to_owned();
            other
                .finish(&[(case, Outcome::Delivered { root_id, remark: None })], start())
                .await
                .unwrap();
        });
        alert_leaves.await.unwrap();
        case_leaves.await.unwrap();
        assert_eq!(replicas[0].pending().await.unwrap(), 1, "the case is to leave once more");
        let later = start() + chrono::TimeDelta::minutes(1);
        let again = replicas[0].claim(2, LEASE, later).await.unwrap().remove(0);
        assert_eq!(again.claim.event, case.event);
        let sent = CaseObjects {
            threat_key: key.clone(),
            object_ids: replicas[0].new_case_objects(&key).await.unwrap(),
            standing: CaseStanding::Sent,
        };
        replicas[0].keep_case_objects(&[sent]).await.unwrap();
        replicas[0].finish(&[(again.claim, delivered())], later).await.unwrap();
        assert!(replicas[0].is_drained().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_leads_until_its_connection_is_gone_and_notices_that_itself() {
    let place = Database::Postgres.fresh().await;
    let lock = || PostgresDatabase::leader_lock(&place.url, None, &[CONSOLE]).unwrap();
    let (one, other) = (lock(), lock());
    let mut leads = one.take().await.unwrap().expect("nobody leads yet");
    assert!(other.take().await.unwrap().is_none(), "another one leads");
    let elsewhere = PostgresDatabase::leader_lock(&place.url, None, &["https://other.example"]);
    let of_another_console = elsewhere.unwrap().take().await.unwrap();
    let of_another_console = of_another_console.expect("each console has a leader of its own");
    let both = PostgresDatabase::leader_lock(&place.url, None, &["https://other.example", CONSOLE]);
    assert!(both.unwrap().take().await.unwrap().is_none(), "who serves both leads none or both");
    of_another_console.release().await;

    let ending = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d \
         ON d.oid = database WHERE locktype = 'advisory' AND granted \
         AND d.datname = current_database() AND pid <> pg_backend_pid() \
         AND classid = (hashtextextended($1, 0) >> 32 & 4294967295)::oid \
         AND objid = (hashtextextended($1, 0) & 4294967295)::oid";
    let schema = place.url.rsplit('=').next().unwrap();
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let ended = sqlx::query(ending)
        .bind(format!("{schema} harfanglab-incidents leader {CONSOLE}"))
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(ended.rows_affected(), 1);
    leads.lost().await;
    let leads = other.take().await.unwrap().expect("the lock is free again");
    leads.release().await;
    assert!(one.take().await.unwrap().is_some(), "and again");
}
