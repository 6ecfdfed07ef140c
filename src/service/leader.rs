//! The leader: of several replicas on one journal exactly one sweeps, beats, reads the queues of Elastic
//! connectors and what OpenCTI says of deliveries, and prunes; the others accept, convert and deliver. A
//! journal in a file has one service, which leads for as long as it runs.
//!
//! A term begins with the journal's lock and ends with it, or with the service. Everything that only
//! the leader does hangs on the token of its term, so that it ends at once.
//!
//! Does not live here: the lock itself (`journal`), what is done in a term.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    health::{Health, Role},
    journal::{Journal, LeaderLock, Place},
    opencti::{ConfirmedObjects, OpenCti},
    pipeline::{era_of_confirmed, era_of_properties},
};

/// Time between two attempts of a replica that follows to take the lock: many in one interval of the heartbeat.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Longest time for which a single run waits for the lock.
const SINGLE_RUN_WAIT: Duration = Duration::from_secs(15);
/// Time between two looks at whether another replica has forgotten what was confirmed.
const LOOK_AT_ERA: Duration = Duration::from_secs(5);

/// The terms of this replica.
pub(super) struct Leader {
    place: Place,
    health: Arc<Health>,
    /// The token of the term that is under way.
    term: watch::Sender<Option<CancellationToken>>,
}

impl Leader {
    pub(super) fn new(place: Place, health: &Arc<Health>) -> Self {
        let role = match &place {
            Place::Folder(_) => Role::Alone,
            Place::Server(_) => Role::Follows,
        };
        health.is_now(role);
        Self { place, health: Arc::clone(health), term: watch::Sender::new(None) }
    }

    /// The folder of a journal that is a file.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Server(_) => None,
        }
    }

    /// Returns whether no other replica can be there.
    pub(super) fn is_alone(&self) -> bool {
        self.folder().is_some()
    }

    /// Contends for the lock until `stop`.
    pub(super) async fn contend(&self, stop: &CancellationToken) {
        match &self.place {
            Place::Folder(_) => {
                // Once more: by now there is somebody to count it.
                self.health.is_now(Role::Alone);
                let _before = self.term.send_replace(Some(stop.child_token()));
                stop.cancelled().await;
            }
            Place::Server(lock) => {
                let terms = async {
                    loop {
                        self.one_term(lock, stop).await;
                        tokio::time::sleep(ASK_EVERY).await;
                    }
                };
                stop.run_until_cancelled(terms).await;
            }
        }
    }

    async fn one_term(&self, lock: &LeaderLock, stop: &CancellationToken) {
        let mut leadership = match lock.take().await {
            Ok(Some(leadership)) => leadership,
            Ok(None) => return,
            Err(failure) => {
                return warn!(%failure, "the journal cannot be asked who leads; asking again");
            }
        };
        info!("this replica leads: it sweeps and tells OpenCTI that the connector is alive");
        let term = stop.child_token();
        // Also when this is broken off: what hangs on the term must not go on without the lock.
        let _ended = term.clone().drop_guard();
        self.health.is_now(Role::Leads);
        let _before = self.term.send_replace(Some(term.clone()));
        tokio::select! {
            () = leadership.lost() => {
                // First, so that no job is accepted that this term will not do.
                self.health.is_now(Role::Follows);
                term.cancel();
                warn!("the lock of the leader is lost; another replica may lead now");
            }
            () = stop.cancelled() => {}
        }
        let _before = self.term.send_replace(None);
        self.health.is_now(Role::Follows);
        leadership.release().await;
    }

    /// Returns whether this replica is in a term.
    pub(super) fn leads(&self) -> bool {
        self.term.borrow().as_ref().is_some_and(|term| !term.is_cancelled())
    }

    /// Waits until this replica is in a term, and answers its token; `None` when it is to stop.
    pub(super) async fn next_term(&self, stop: &CancellationToken) -> Option<CancellationToken> {
        let mut terms = self.term.subscribe();
        stop.run_until_cancelled(next(&mut terms)).await.flatten()
    }

    /// Returns whether a single run has the lock, which it waits for a little while.
    pub(super) async fn leads_soon(&self) -> bool {
        let mut terms = self.term.subscribe();
        tokio::time::timeout(SINGLE_RUN_WAIT, next(&mut terms))
            .await
            .is_ok_and(|term| term.is_some())
    }

    /// Forgets what is `confirmed` when another replica has begun to import everything again, or has
    /// read that OpenCTI refused something: it learns that from OpenCTI, and this one from the journal. So
    /// with properties of our own that a custom field refused.
    pub(super) async fn follow_resets(
        &self,
        journals: Vec<Journal>,
        confirmed: Option<Arc<ConfirmedObjects>>,
        platform: OpenCti,
        stop: CancellationToken,
    ) {
        if self.is_alone() {
            return;
        }
        let mut told = Told::default();
        loop {
            told.follow(&journals, confirmed.as_deref(), &platform).await;
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_AT_ERA)).await.is_none() {
                return;
            }
        }
    }
}

/// Words between replicas as of the last poll, in the journal of each console.
#[derive(Debug, Default)]
struct Told {
    of_confirmed: Option<Vec<[Option<String>; 2]>>,
    of_properties: Option<Vec<Option<String>>>,
}

impl Told {
    /// Polls once. A journal that cannot be read is told by whoever needs it.
    async fn follow(
        &mut self,
        journals: &[Journal],
        confirmed: Option<&ConfirmedObjects>,
        platform: &OpenCti,
    ) {
        let asked = journals.iter().map(era_of_confirmed);
        if let Ok(eras) = try_join_all(asked).await {
            if self.of_confirmed.as_ref().is_some_and(|known| *known != eras) {
                info!(
                    "everything is imported again, or OpenCTI refused something: nothing counts as \
                     known to it"
                );
                if let Some(confirmed) = confirmed {
                    confirmed.forget();
                }
            }
            self.of_confirmed = Some(eras);
        }
        let asked = journals.iter().map(era_of_properties);
        if let Ok(eras) = try_join_all(asked).await {
            if self.of_properties.as_ref().is_some_and(|known| *known != eras) {
                platform.leave_out_custom_properties();
            }
            self.of_properties = Some(eras);
        }
    }
}

/// The token of a term that is under way; `None` when there will be none any more.
async fn next(terms: &mut watch::Receiver<Option<CancellationToken>>) -> Option<CancellationToken> {
    loop {
        let term = terms.borrow_and_update().clone();
        if term.as_ref().is_some_and(|term| !term.is_cancelled()) {
            return term;
        }
        terms.changed().await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{OpenCtiSettings, TlsVerification},
        journal::SqliteDatabase,
        opencti::Feature,
    };

    #[tokio::test]
    async fn a_replica_learns_from_the_journal_of_any_console_that_a_property_was_refused_meanwhile()
     {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let other = journal.of_console("https://other.example");
        let journals: [Journal; 2] = [journal, other];
        let settings = OpenCtiSettings {
            url: "http://127.0.0.1:9".parse().unwrap(),
            token: "a-token".into(),
            token_file: None,
            tls: TlsVerification::System,
            custom_headers: Vec::new(),
        };
        let platform = OpenCti::new(&settings).unwrap();
        // As the one that leads remembers it.
        let refused = async |times: &str| {
            journals[1].remember("custom_properties_refused", times).await.unwrap();
        };
        refused("1").await;
        let mut told = Told::default();
        told.follow(&journals, None, &platform).await;
        told.follow(&journals, None, &platform).await;
        assert!(platform.has(Feature::CustomProperties), "that was before its start");
        journals[0].remember("generation", "2").await.unwrap();
        told.follow(&journals, None, &platform).await;
        assert!(platform.has(Feature::CustomProperties), "a reset is no refusal");
        refused("2").await;
        told.follow(&journals, None, &platform).await;
        assert!(!platform.has(Feature::CustomProperties));
    }
}
