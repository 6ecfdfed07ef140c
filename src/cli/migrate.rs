//! `journal migrate`: a SQLite journal moves into PostgreSQL.

use std::path::Path;

use super::{failure::Failure, output, runtime, setup};
use crate::{
    config::Settings,
    journal::{JournalError, PostgresDatabase, SqliteDatabase},
};

/// Connections that the move takes: one writes.
const CONNECTIONS: u32 = 2;

/// Moves the configured journal to `to`.
pub(super) fn run(config: Option<&Path>, to: &str) -> Result<(), Failure> {
    let settings = setup::load(config)?.settings;
    if !settings.journal.url.starts_with("sqlite:") {
        return Err(Failure::Usage(
            "HARFANGLAB_INCIDENTS_JOURNAL_URL is to name the SQLite journal that is moved"
                .to_owned(),
        ));
    }
    if !to.starts_with("postgres://") && !to.starts_with("postgresql://") {
        return Err(Failure::Usage(
            "--to: expected the postgres:// URL of an empty database".to_owned(),
        ));
    }
    let moved = runtime::run(async |_stop| moved(&settings, to).await)?;
    let moved = moved.map_err(anyhow::Error::from)?;
    for (table, rows) in &moved {
        output::print(&format!("{table}: {rows}\n"))?;
    }
    output::print("moved; now set HARFANGLAB_INCIDENTS_JOURNAL_URL to the new address\n")
}

async fn moved(settings: &Settings, to: &str) -> Result<Vec<(&'static str, u64)>, JournalError> {
    // As the service opens it: nobody else may be using it.
    let from = SqliteDatabase::open_existing(&settings.journal.url).await?;
    let password = settings.journal.password.as_ref();
    let journal = PostgresDatabase::open(to, password, CONNECTIONS).await?;
    journal.take_over(&from).await
}
