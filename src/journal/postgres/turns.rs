//! Gives turns within this process: of the changes that need one lock, one at a time takes a
//! connection and waits for the lock in the database. The others wait here, so that a console whose
//! lock another replica holds for long leaves the pool to the other consoles.
//!
//! Does not live here: the locks that part the replicas (`postgres`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Mutex as Waiting;

use crate::journal::database::session::Turn;

/// Time for which a turn is waited for: as long as for a lock in the database.
const TURN_MAX: Duration = Duration::from_secs(10);

type Line = Arc<Waiting<()>>;

/// The lines in which changes wait, one for each name of a lock.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Line>>>);

impl Turns {
    /// Waits for a turn for each of these locks, in this order.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when it does not come, as when no connection is free.
    pub(super) async fn wait(&self, locks: &[String]) -> Result<Vec<Turn>, sqlx::Error> {
        let mut turns = Vec::with_capacity(locks.len());
        for lock in locks {
            let turn = tokio::time::timeout(TURN_MAX, self.line(lock).lock_owned());
            turns.push(turn.await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?);
        }
        Ok(turns)
    }

    fn line(&self, lock: &str) -> Line {
        let mut lines = self.0.lock();
        Arc::clone(lines.entry(lock.to_owned()).or_default())
    }
}
