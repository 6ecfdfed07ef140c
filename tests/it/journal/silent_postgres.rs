//! A PostgreSQL that takes everything and answers nothing, as when its machine or the way to it hangs, or
//! that answers all but the lists.

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{
    relay::Relay,
    stage::{Stage, http},
    stores::Database,
    waiting::until,
};

/// Returns status and text of what the management address answers.
async fn answer(management: &str, path: &str) -> (u16, String) {
    let answer = http().get(format!("{management}{path}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn metrics_and_the_status_page_give_up_on_the_journal_as_early_as_readiness_does() {
    let journal = Database::Postgres.fresh().await;
    let (database, url) = Relay::before_database(&journal.url).await;
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &url);
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let get = async |path: &str| answer(&management, path).await;
    until("it is ready", async || (get("/readyz").await.0 == 200).then_some(())).await;
    database.hold_answers();
    // As long as two answers of readiness take, one after the other.
    let time = async || {
        assert_eq!(get("/readyz").await.0, 503);
        get("/readyz").await
    };
    let in_time = async |path: &str| {
        tokio::select! {
            biased;
            answer = get(path) => answer,
            _readiness = time() => panic!("{path} takes longer than readiness twice"),
        }
    };
    let (metrics, page) = tokio::join!(in_time("/metrics"), in_time("/"));
    assert!(metrics.1.contains("part_degraded{part=\"journal\"} 1"), "{}", metrics.1);
    assert!(metrics.1.contains("webhook_"), "what needs no journal is shown: {}", metrics.1);
    assert_eq!(page.0, 200);
    assert!(page.1.contains("the journal did not answer"), "{}", page.1);
    database.open();
    until("it is ready again", async || (get("/readyz").await.0 == 200).then_some(())).await;
    assert!(app.terminate().await.success(), "{}", app.log());
}

#[tokio::test]
async fn the_status_page_names_lists_that_take_too_long_while_the_journal_is_well() {
    let journal = Database::Postgres.fresh().await;
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &journal.url);
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let get = async |path: &str| answer(&management, path).await;
    until("it is ready", async || (get("/readyz").await.0 == 200).then_some(())).await;
    let mut other = PgConnection::connect(&journal.url).await.unwrap();
    let locking = "BEGIN; LOCK TABLE refusals IN ACCESS EXCLUSIVE MODE";
    other.execute(sqlx::raw_sql(locking)).await.unwrap();
    let (_status, page) = get("/").await;
    assert!(page.contains("the lists took longer than 4 seconds"), "{page}");
    let (status, ready) = get("/readyz").await;
    assert!(status == 200 && !ready.contains("did not answer"), "{ready}");
    other.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
    assert!(app.terminate().await.success(), "{}", app.log());
}
