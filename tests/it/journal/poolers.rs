//! A pooler between replicas and PostgreSQL: one that keeps sessions is as good as the server itself, and
//! any other is refused, since with it nobody would lead.

use std::time::{Duration, Instant};

use harfanglab_incidents::journal::PostgresDatabase;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::pgbouncer::Pooler;
use crate::support::{
    app::{patience, role},
    stage::{Stage, http, start_in_role},
    stores::{CONNECTIONS, CONSOLE},
    waiting::until,
};

/// Returns a stage whose replicas reach their journal through the pooler.
async fn stage_behind(pooler: &Pooler) -> Stage {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &pooler.url);
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    stage
}

#[tokio::test]
async fn a_pooler_that_keeps_no_sessions_is_refused_at_opening_and_by_check() {
    for mode in ["transaction", "statement"] {
        for sessions in [1, 20] {
            let Some(pooler) = Pooler::start(mode, sessions).await else { return };
            let opened = PostgresDatabase::open(&pooler.url, None, CONNECTIONS).await;
            let probed = PostgresDatabase::probe(&pooler.url, None).await;
            let beside = PostgresDatabase::open_beside(&pooler.url, None).await;
            for failure in [opened.err(), probed.err(), beside.err()] {
                let failure = failure.expect("refused").to_string();
                assert!(failure.contains("set pool_mode = session"), "{mode}: {failure}");
            }
        }
    }
}

#[tokio::test]
async fn a_database_that_is_absent_behind_a_pooler_or_unknown_to_it_is_no_wrong_parameter() {
    let Some(pooler) = Pooler::start("session", 1).await else { return };
    pooler.drop_database().await;
    let unknown = format!("{}_too", pooler.url);
    for (url, remedy) in [(&pooler.url, "CREATE DATABASE"), (&unknown, "[databases]")] {
        let failure = PostgresDatabase::probe(url, None).await.unwrap_err().to_string();
        assert!(failure.contains(remedy) && !failure.contains("parameter"), "{failure}");
    }
}

/// As after a pooler's `RELOAD` with another `pool_mode`.
#[tokio::test]
async fn a_leader_whose_session_was_given_to_somebody_else_leads_no_longer() {
    let Some(pooler) = Pooler::start("transaction", 1).await else { return };
    let lock =
        PostgresDatabase::leader_lock(&pooler.url, None, &[CONSOLE, "https://other.example"]);
    let mut leads = lock.unwrap().take().await.unwrap().expect("nobody leads yet");
    // Longer than a sign of life takes.
    let still_leads = tokio::time::timeout(Duration::from_secs(3), leads.lost()).await;
    assert!(still_leads.is_err(), "its session holds every lock");
    let through: PgConnectOptions = pooler.url.parse().unwrap();
    let through = through.extra_float_digits(None);
    let mut other = PgConnection::connect_with(&through).await.unwrap();
    let unlock = "SELECT pg_advisory_unlock(classid::bigint << 32 | objid::bigint) FROM pg_locks \
         WHERE locktype = 'advisory' AND pid = pg_backend_pid() LIMIT 1";
    let row = other.fetch_one(sqlx::raw_sql(unlock)).await.unwrap();
    assert!(row.try_get::<bool, _>(0).unwrap(), "it was given the same session");
    let lost = tokio::time::timeout(patience(), leads.lost()).await;
    assert!(lost.is_ok(), "it leads though another may");
}

#[tokio::test]
async fn behind_a_pooler_that_keeps_sessions_the_next_replica_leads_when_the_leader_is_killed() {
    let Some(pooler) = Pooler::start("session", 20).await else { return };
    let mut stage = stage_behind(&pooler).await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS", "4");
    let leader = start_in_role(&stage, "leads").await;
    let mut follower = start_in_role(&stage, "follows").await;
    let management = follower.management().await;
    drop(leader);
    let killed_at = Instant::now();
    let leads = async || (role(&management).await.as_deref() == Some("leads")).then_some(());
    until("the other replica leads", leads).await;
    eprintln!(
        "the next replica leads {:.1} s after the leader was killed",
        killed_at.elapsed().as_secs_f64()
    );
    let complains = follower.log().lines().any(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["level"] == "ERROR"
    });
    assert!(!complains, "{}", follower.log());
    assert!(follower.terminate().await.success(), "{}", follower.log());
}

#[tokio::test]
async fn a_pooler_that_no_longer_keeps_sessions_is_named_in_few_lines() {
    let Some(pooler) = Pooler::start("session", 20).await else { return };
    let stage = stage_behind(&pooler).await;
    let mut app = start_in_role(&stage, "leads").await;
    pooler.reload("transaction");
    let reloaded_at = Instant::now();
    let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    let names_it = |line: &Value| text(line).contains("set pool_mode = session");
    app.wait_for_log("the pooler is named", |line| names_it(line).then_some(())).await;
    // Each time new connections were tried for 10 s.
    until("no connection can be used", async || {
        (app.log().matches("pool timed out while waiting").count() >= 2).then_some(())
    })
    .await;
    let lines: Vec<Value> =
        app.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let minutes = usize::try_from(reloaded_at.elapsed().as_secs() / 60).unwrap();
    let naming = lines.iter().filter(|line| names_it(line)).count();
    assert!(naming <= 1 + minutes, "{}", app.log());
    assert!(lines.iter().all(|line| !text(line).contains("after_connect")), "{}", app.log());
    pooler.reload("session");
    let management = app.management().await;
    let is_ready = async || {
        let ready = http().get(format!("{management}/readyz")).send().await.ok()?;
        ready.status().is_success().then_some(())
    };
    until("it goes on by itself", is_ready).await;
    assert!(app.terminate().await.success(), "{}", app.log());
}
