//! Proves that a connection has a session of the server to itself. A pooler that hands out sessions by
//! transaction or by statement does not give it one: a lock of the session, by which the leader leads, then
//! belongs to whoever is handed the session next.
//!
//! A pooler with nothing else to do hands the same session out again and again, so one connection by itself
//! shows nothing. Here a second one begins a transaction, for which the pooler must take a session out: the
//! first one's, or one that the first one may be given afterwards.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::refusal::{SharedSession, may_pass};

/// Transactions that a second connection begins before the session counts as the first one's.
const ROUNDS: usize = 3;

/// Takes a lock of the session, under a number that no other session uses.
const TAKE: &str = "SELECT pg_backend_pid() AS session FROM \
     (SELECT pg_advisory_lock(1212498246, pg_backend_pid())) AS locked";

/// Returns the session and whether it holds the lock that it took.
const HOLDS: &str = "SELECT pg_backend_pid() AS session, EXISTS (SELECT 1 FROM pg_locks \
     WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() \
     AND classid = 1212498246 AND objid = pg_backend_pid()::bigint::oid AND objsubid = 2) AS holds";

const SESSION: &str = "SELECT pg_backend_pid() AS session";

/// Connects twice, and proves that neither connection is given the session of the other.
///
/// # Errors
/// [`sqlx::Error::Configuration`] with [`SharedSession`]; any other when the server cannot be asked.
pub(super) async fn prove_own(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let mut second = PgConnection::connect_with(options).await?;
    let is_own = is_own(&mut first, &mut second).await?;
    // Both end here anyway; a server that does not say goodbye has answered all that was asked.
    let (_first, _second) = (first.close().await, second.close().await);
    if is_own { Ok(()) } else { Err(sqlx::Error::Configuration(Box::new(SharedSession))) }
}

/// Asks in the simple protocol: a prepared statement would stay behind in a session that is not ours.
async fn is_own(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let session: i32 = first.fetch_one(sqlx::raw_sql(TAKE)).await?.try_get("session")?;
    for _round in 0..ROUNDS {
        if let Err(error) = second.execute(sqlx::raw_sql("BEGIN")).await {
            // A server that runs always begins one; a pooler that hands out statements does not.
            let is_refused = error.as_database_error().is_some() && !may_pass(&error);
            return if is_refused { Ok(false) } else { Err(error) };
        }
        let other: i32 = second.fetch_one(sqlx::raw_sql(SESSION)).await?.try_get("session")?;
        // Before the first one asks: it would wait for the session that the transaction has.
        if other == session {
            return Ok(false);
        }
        let row = first.fetch_one(sqlx::raw_sql(HOLDS)).await?;
        if row.try_get::<i32, _>("session")? != session || !row.try_get::<bool, _>("holds")? {
            return Ok(false);
        }
        second.execute(sqlx::raw_sql("ROLLBACK")).await?;
    }
    Ok(true)
}
