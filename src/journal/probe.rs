//! Probes whether the journal can be written, and looks at its files every moment.
//!
//! Does not live here: what is known of it meanwhile (`storage`).

use std::{sync::LazyLock, time::Duration};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    database::{dialect::SqlByDialect, statement::query},
    error::JournalError,
    event::Counts,
    handle::Journal,
    storage::Report,
};
use crate::intake::Door;

/// From one look at the journal's files to the next, and from one probe to the next while the journal cannot
/// be written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Hashes in a probe; the digits of each are 64 bytes.
const HASHES_OF_A_PROBE: u32 = 1_024;

/// Two texts of 64 KiB, which no database can make smaller. They take turns: a
/// page that is overwritten by the same is not written.
static PROBES: LazyLock<[String; 2]> = LazyLock::new(|| {
    [0, HASHES_OF_A_PROBE].map(|first| {
        let hash = |number: u32| hex::encode(Sha256::digest(number.to_le_bytes()));
        (first..first + HASHES_OF_A_PROBE).map(hash).collect()
    })
});

macro_rules! write_probe {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = CASE WHEN remembered.value = $2 THEN $3 ELSE $2 END"
        )
    };
}

/// Keeps one text, and each time another one than before.
const WRITE_PROBE: SqlByDialect =
    SqlByDialect { sqlite: write_probe!("name"), postgres: write_probe!("md5(name)") };

impl Journal {
    /// Writes as much as a large alert with its indexes (64 KiB), over what the last call wrote. Its caller
    /// tells [`super::Storage`] of a success ([`check_writable`]).
    pub async fn probe(&self) -> Result<(), JournalError> {
        self.check_not_lost().await?;
        let [one, other] = &*PROBES;
        query(self.sql(WRITE_PROBE))
            .bind(self.remembered_name("readiness_probe"))
            .bind(one)
            .bind(other)
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }
}

/// Checks that a delivery could be stored now: waits a little for a probe, which goes through `door`, and
/// answers how many events are in each state.
///
/// # Errors
/// Fails with the reason why not, in words.
pub async fn check_writable(journal: &Journal, door: &Door) -> Result<Counts, String> {
    let probed = async {
        journal.check_not_lost().await.map_err(|reason| reason.to_string())?;
        door.probe().await.map_err(|reason| reason.to_string())?;
        // Here, where no delivery waits for it.
        let read = journal.counts().await;
        if let Err(JournalError::Database(error)) = &read {
            journal.storage().failed(error, Report::AnyFailure);
        }
        let counts = read.map_err(|failure| failure.to_string())?;
        journal.storage().written();
        Ok(counts)
    };
    answer_in_time(probed).await.unwrap_or_else(|TooLate| {
        let seconds = PROBE_TIMEOUT.as_secs();
        let reason = format!(
            "the journal did not answer within {seconds} seconds; check its database and its disk"
        );
        journal.storage().failed_because(reason.clone());
        Err(reason)
    })
}

/// Says that the journal did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("took longer than {} seconds", PROBE_TIMEOUT.as_secs())]
pub struct TooLate;

/// Waits for an answer of the journal, no longer than for a probe.
///
/// # Errors
/// [`TooLate`] when there was none.
pub async fn answer_in_time<T>(answer: impl Future<Output = T>) -> Result<T, TooLate> {
    tokio::time::timeout(PROBE_TIMEOUT, answer).await.map_err(|_elapsed| TooLate)
}

/// Looks at the journal's files every moment, and probes while the journal cannot be written, until `stop`.
pub async fn watch(journal: Journal, door: Door, stop: CancellationToken) {
    let watching = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // Told by the storage itself, as is the outcome of a probe.
            if journal.check_not_lost().await.is_ok() && journal.storage().is_in_trouble() {
                let _outcome = Box::pin(check_writable(&journal, &door)).await;
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::journal::SqliteDatabase;

    #[tokio::test]
    async fn each_probe_writes_as_much_as_a_large_alert_and_leaves_nothing_that_grows() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("journal.db");
        let url = format!("sqlite:{}", file.display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let log_bytes = || std::fs::metadata(folder.path().join("journal.db-wal")).unwrap().len();
        for _ in 0..4 {
            let before = log_bytes();
            journal.probe().await.unwrap();
            let written = log_bytes() - before;
            assert!(written >= 64 << 10, "only {written} bytes");
        }
        let mut beside = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT SUM(LENGTH(value)) FROM remembered")
            .fetch_one(&mut beside)
            .await
            .unwrap();
        assert_eq!(kept, 64 << 10);
    }
}
