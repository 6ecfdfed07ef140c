//! Changes that end badly: nothing of them stays, and the next change goes on.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use super::{
    Journal, PostgresDatabase, SqliteDatabase,
    database::{locks::EventLocks, session::Session, statement::query},
};

const CONSOLE: &str = "https://console.example";
const NOWHERE: &str = "INSERT INTO nowhere VALUES (1)";

/// Changes that fail, are dropped or are taken back, one after the other; then one that is committed.
async fn end_badly(journal: &Journal) {
    let remember = |name: &str| query("INSERT INTO remembered VALUES ($1, 'value')").bind(name);
    for turn in 0..3 {
        let mut change = journal.begin(EventLocks::Both).await.unwrap();
        remember("failed").execute(&mut change).await.unwrap();
        query(NOWHERE).execute(&mut change).await.unwrap_err();
        // What one database still takes, and the other answers with success.
        let _either = remember("after it").execute(&mut change).await;
        change.commit().await.unwrap_err();

        let mut change = journal.begin(EventLocks::Both).await.unwrap();
        remember("dropped").execute(&mut change).await.unwrap();
        drop(change);

        let mut change = journal.begin(EventLocks::Both).await.unwrap();
        remember("taken back").execute(&mut change).await.unwrap();
        change.roll_back().await.unwrap();

        let mut writer = journal.writer().await.unwrap();
        query(NOWHERE).execute(&mut writer).await.unwrap_err();
        drop(writer);

        let mut change = journal.begin(EventLocks::Both).await.unwrap();
        remember(&format!("committed {turn}")).execute(&mut change).await.unwrap();
        change.commit().await.unwrap();
    }
    let kept = query("SELECT name FROM remembered WHERE value = 'value' ORDER BY name");
    let kept = kept.fetch_all(&mut journal.reader().await.unwrap()).await.unwrap();
    let kept: Vec<String> = kept.iter().map(|row| row.text("name").unwrap()).collect();
    assert_eq!(kept, ["committed 0", "committed 1", "committed 2"]);
}

#[tokio::test]
async fn a_change_that_ends_badly_leaves_nothing_in_sqlite_and_the_next_one_goes_on() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = Journal::new(SqliteDatabase::open(&url).await.unwrap(), CONSOLE);
    end_badly(&journal).await;
}

#[tokio::test]
async fn a_change_that_ends_badly_leaves_nothing_in_postgresql_and_the_next_one_goes_on() {
    let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
        .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
    let name = format!("connection_{}", std::process::id());
    let mut beside = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}")))
        .execute(&mut beside)
        .await
        .unwrap();
    let url = format!("{server}?options[search_path]={name}");
    let journal = Journal::new(PostgresDatabase::open(&url, None, 2).await.unwrap(), CONSOLE);
    end_badly(&journal).await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
        .execute(&mut beside)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_of_which_a_statement_was_broken_off_is_never_committed() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = Journal::new(SqliteDatabase::open(&url).await.unwrap(), CONSOLE);
    let mut change = journal.begin(EventLocks::None).await.unwrap();
    // As by whoever is cancelled while it waits.
    let Session::Sqlite(connection) = &mut *change else { panic!("it is SQLite") };
    let _broken_off = connection.start();
    let one = query("INSERT INTO remembered VALUES ('a', 'b')");
    one.execute(&mut change).await.unwrap();
    change.commit().await.unwrap_err();
    let mut change = journal.begin(EventLocks::None).await.unwrap();
    let other = query("INSERT INTO remembered VALUES ('a', 'c')");
    other.execute(&mut change).await.unwrap();
    change.commit().await.unwrap();
}
