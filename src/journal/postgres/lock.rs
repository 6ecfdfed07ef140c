//! The lock of the replica that leads: an advisory lock of a session for each console that is served,
//! all of them on one connection of its own, so that replicas that serve different consoles, as while a
//! new configuration is rolled out, never sweep one twice. It is free again as soon as the server knows
//! that the connection is gone, and its holder notices that at once, because it listens there all the
//! time.
//!
//! Does not live here: what the one that leads does (`service`).

use std::{collections::BTreeSet, fmt, time::Duration};

use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgListener},
};

use super::pool::pool_options;
use crate::journal::error::JournalError;

/// Time after which the holder asks the server for a sign of life. A server that went away without a word is
/// noticed well before its own keep-alive (25 seconds) gives the lock to another one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Time for which the holder waits for it.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Asks whether the session of this connection holds every lock of these names. A pooler that was set up
/// anew may have handed the session to somebody else.
const STILL_HOLDS: &str = "SELECT COUNT(DISTINCT key) = CARDINALITY($1) AS holds FROM (\
         SELECT classid::bigint << 32 | objid::bigint AS key FROM pg_locks \
         WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = pg_backend_pid()) AS held \
     WHERE key IN (SELECT hashtextextended(current_schema() || name, 0) FROM unnest($1) AS name)";

/// A lock that one replica holds at a time.
pub struct LeaderLock {
    options: Box<PgConnectOptions>,
    /// One for each console; always taken in this order.
    names: BTreeSet<String>,
}

/// The lock, held.
pub struct Leadership {
    listener: PgListener,
    /// Of this connection alone.
    pool: PgPool,
    /// Names of the locks that are held.
    names: Vec<String>,
}

impl fmt::Debug for LeaderLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LeaderLock").field("names", &self.names).finish_non_exhaustive()
    }
}

impl LeaderLock {
    /// The lock of those who share any of `consoles` there.
    pub(super) fn new(options: PgConnectOptions, consoles: &[&str]) -> Self {
        let name = |console: &&str| format!(" harfanglab-incidents leader {console}");
        Self { options: Box::new(options), names: consoles.iter().map(name).collect() }
    }

    /// Takes the lock; `None` when another replica holds it.
    ///
    /// # Errors
    /// [`JournalError::Database`] when the server cannot be asked.
    pub async fn take(&self) -> Result<Option<Leadership>, JournalError> {
        let taken = tokio::time::timeout(SILENCE_MAX * 2, self.try_to_take()).await;
        let (leadership, is_ours) =
            taken.map_err(|_elapsed| sqlx::Error::PoolTimedOut).and_then(|taken| taken)?;
        if is_ours {
            return Ok(Some(leadership));
        }
        leadership.release().await;
        Ok(None)
    }

    async fn try_to_take(&self) -> Result<(Leadership, bool), sqlx::Error> {
        let pool = pool_options(1).connect_lazy_with(PgConnectOptions::clone(&self.options));
        let mut listener = PgListener::connect_with(&pool).await?;
        // Another connection would not hold the lock.
        listener.eager_reconnect(false);
        let lock =
            "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || $1, 0)) AS is_ours";
        let mut is_ours = true;
        for name in &self.names {
            let row = sqlx::query(lock).bind(name).fetch_one(&mut listener).await?;
            is_ours = row.try_get("is_ours")?;
            if !is_ours {
                break;
            }
        }
        let names = self.names.iter().cloned().collect();
        Ok((Leadership { listener, pool, names }, is_ours))
    }
}

impl Leadership {
    /// Returns as soon as the lock may be another one's.
    pub async fn lost(&mut self) {
        loop {
            match tokio::time::timeout(SIGN_OF_LIFE, self.listener.try_recv()).await {
                // Nobody notifies anybody here: whatever comes, the lock is still there.
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None) | Err(_)) => return,
                Err(_elapsed) => {
                    let asked = tokio::time::timeout(SILENCE_MAX, self.still_holds());
                    if !matches!(asked.await, Ok(Ok(true))) {
                        return;
                    }
                }
            }
        }
    }

    async fn still_holds(&mut self) -> Result<bool, sqlx::Error> {
        let asked = sqlx::query(STILL_HOLDS).bind(&self.names);
        asked.fetch_one(&mut self.listener).await?.try_get("holds")
    }

    /// Gives the lock back by ending the connection.
    pub async fn release(self) {
        drop(self.listener);
        // A server that does not answer notices by itself.
        let _silent = tokio::time::timeout(SILENCE_MAX, self.pool.close()).await;
    }
}
