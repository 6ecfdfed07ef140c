//! The binary's journal while things go wrong, and its own faults.
//!
//! The PostgreSQL of this test answers a commit before it is on the disk unless it is told otherwise, and
//! writes to the disk only every ten seconds: when all of its processes are killed it loses what was
//! committed without asking for more.

use std::path::PathBuf;

use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::task::block_in_place;

use super::{faults::wire_to, producer::Ledger};
use crate::support::{
    app::Home, private_postgres::PrivatePostgres, relay::Relay, stores::fresh_schema,
};

/// The journal's store.
pub(super) enum Store {
    /// In a file of the binary's home.
    File(PathBuf),
    /// On a server of the test's own, over a wire that can be cut.
    Server { database: PrivatePostgres, url: String, wire: Relay },
}

impl Store {
    /// In the file that the binary makes by itself.
    pub(super) fn file(home: &Home) -> Self {
        Self::File(home.journal())
    }

    /// On a PostgreSQL, which the binary is told of.
    pub(super) async fn server(home: &mut Home) -> Self {
        let database = block_in_place(PrivatePostgres::careless);
        let url = fresh_schema(database.url()).await;
        let wire = wire_to(&format!("127.0.0.1:{}", database.port())).await;
        let mut over_wire = url::Url::parse(&url).unwrap();
        over_wire.set_port(Some(wire.address().port())).unwrap();
        home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", over_wire.as_str());
        // What a killed binary had under way goes on when its lease runs out.
        home.set("HARFANGLAB_INCIDENTS_LEASE", "PT15S");
        Self::Server { database, url, wire }
    }

    /// Cuts the wire, where there is one.
    pub(super) fn cut(&self) {
        if let Self::Server { wire, .. } = self {
            wire.cut();
        }
    }

    /// Another process writes to the journal and does not come to an end, until a delivery was
    /// turned away because of it.
    pub(super) async fn lock(&self, ledger: &Ledger) {
        match self {
            Self::File(file) => {
                let url = format!("sqlite:{}", file.display());
                let mut other = SqliteConnection::connect(&url).await.unwrap();
                // Whoever waits for SQLite's lock gets it by chance, not in turn.
                while let Err(failure) = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await {
                    assert!(failure.to_string().contains("locked"), "{failure}");
                }
                ledger.one_more_turned_away().await;
                sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
            }
            Self::Server { url, .. } => {
                let mut other = PgConnection::connect(url).await.unwrap();
                let locking = "BEGIN; LOCK TABLE events IN EXCLUSIVE MODE";
                sqlx::raw_sql(locking).execute(&mut other).await.unwrap();
                ledger.one_more_turned_away().await;
                sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
            }
        }
    }

    /// All processes of the server end without a word.
    pub(super) fn crash(&self) {
        if let Self::Server { database, .. } = self {
            block_in_place(|| database.crash());
        }
    }

    /// It is started again, with what it had on the disk.
    pub(super) fn start_again(&self) {
        if let Self::Server { database, .. } = self {
            block_in_place(|| database.start_again());
        }
    }
}
