//! Pools of connections, and what every connection of one is told when it begins.
//!
//! Does not live here: the proof that a connection has a session to itself (`session`).

use std::{sync::LazyLock, time::Duration};

use futures_util::TryFutureExt as _;
use sqlx::{
    Executor as _, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::error;

use super::{
    refusal::{SharedSession, unusable},
    session::prove_own,
};
use crate::{clock::Clock, complaints::Complaints};

/// Time for which a connection is waited for.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// After this long without use a connection is given back to the server.
const IDLE_MAX: Duration = Duration::from_mins(5);

/// Settings of every connection: a bound for each wait, early notice of a peer that is gone, that a
/// commit is on disk when it is answered, whatever the server's default is, and that no statement is
/// compiled, which takes longer than any of ours.
///
/// A session that is new to us has no prepared statements. If it has some, a pooler that was set up anew hands
/// out sessions by transaction, and each connection would run another one's, whatever the pooler names them.
const SESSION: &str = "SELECT EXISTS (SELECT 1 FROM pg_prepared_statements) AS is_shared, \
     set_config('statement_timeout', '30s', false), \
     set_config('lock_timeout', '10s', false), \
     set_config('idle_in_transaction_session_timeout', '60s', false), \
     set_config('tcp_keepalives_idle', '10', false), \
     set_config('tcp_keepalives_interval', '5', false), \
     set_config('tcp_keepalives_count', '3', false), set_config('jit', 'off', false), \
     CASE WHEN current_setting('synchronous_commit') = 'off' \
         THEN set_config('synchronous_commit', 'on', false) END";

pub(super) fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_MAX)
        .idle_timeout(IDLE_MAX)
        .after_connect(|connection, _| {
            Box::pin(begin_session(connection).inspect_err(tell_refusal))
        })
}

/// Asks in the simple protocol: a prepared statement would stay behind in a session that is not ours.
async fn begin_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(SESSION)).await?;
    if row.try_get("is_shared")? {
        return Err(sqlx::Error::Configuration(Box::new(SharedSession)));
    }
    Ok(())
}

/// Says why a pool has no new connection, which it says to nobody but the log, for each that it tries.
fn tell_refusal(error: &sqlx::Error) {
    static REFUSALS: LazyLock<Complaints> = LazyLock::new(Complaints::default);
    if let Some(left_out) = REFUSALS.due(Clock::system().now()) {
        error!(left_out, "{}", unusable(error));
    }
}

/// A pool of connections, once it is proven that each has a session to itself.
pub(super) async fn pool(
    options: &PgConnectOptions,
    connections: u32,
) -> Result<PgPool, sqlx::Error> {
    let proving = tokio::time::timeout(CONNECTION_MAX, prove_own(options));
    proving.await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
    pool_options(connections).connect_with(options.clone()).await
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    #[tokio::test]
    async fn a_session_that_comes_with_prepared_statements_is_another_ones_whatever_their_names() {
        let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
            .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
        // PgBouncer before 1.21, and since then.
        for name in ["sqlx_s_1", "PGBOUNCER_1"] {
            let mut connection = PgConnection::connect(&server).await.unwrap();
            begin_session(&mut connection).await.unwrap();
            let prepare = AssertSqlSafe(format!("PREPARE \"{name}\" AS SELECT 1"));
            connection.execute(sqlx::raw_sql(prepare)).await.unwrap();
            let refused = begin_session(&mut connection).await.unwrap_err();
            assert!(unusable(&refused).to_string().contains("server_reset_query"), "{refused}");
        }
    }
}
