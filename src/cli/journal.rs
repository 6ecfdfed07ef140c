//! What the commands on the journal share: the journal, opened beside a running service.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;

use super::{failure::Failure, setup};
use crate::{
    clock::Clock,
    journal::{Journal, JournalError, open_beside},
};

/// The journal on the operator's desk.
pub(super) struct Desk {
    pub(super) journal: Arc<dyn Journal>,
    runtime: Runtime,
    clock: Clock,
}

impl Desk {
    /// Opens the journal that the configuration names, beside the service.
    pub(super) fn open(config: Option<&Path>) -> Result<Self, Failure> {
        let settings = setup::load(config)?.settings;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the asynchronous runtime")?;
        let console = settings.harfanglab.url.as_str();
        let opened = runtime.block_on(open_beside(&settings.journal, console));
        let journal = opened.map_err(anyhow::Error::from)?;
        Ok(Self { journal, runtime, clock: Clock::system() })
    }

    /// Waits for an answer of the journal.
    pub(super) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(answer).map_err(anyhow::Error::from)?)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
