//! Parts shared by the commands on the journal: the journal, opened beside a running service.

use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;

use super::{consoles, failure::Failure, setup};
use crate::{
    clock::Clock,
    config::ConsoleSettings,
    journal::{Access, Journal, JournalError, open_beside},
};

/// The journal on the operator's desk.
pub(super) struct Desk {
    /// One of each console that is looked at; at least one.
    pub(super) consoles: Vec<OfConsole>,
    runtime: Runtime,
    clock: Clock,
}

/// The rows of one console.
pub(super) struct OfConsole {
    /// Its name, where there are several.
    pub(super) name: Option<String>,
    pub(super) journal: Journal,
}

impl Desk {
    /// Opens the journal that the configuration names, beside the service, for the console of this
    /// name or for every one.
    pub(super) fn open(
        config: Option<&Path>,
        console: Option<&str>,
        access: Access,
    ) -> Result<Self, Failure> {
        let settings = setup::load(config)?.settings;
        let chosen = consoles::chosen(&settings, console)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the asynchronous runtime")?;
        let first = settings.consoles[0].harfanglab.url.as_str();
        let opened = runtime.block_on(open_beside(&settings.journal, first, access));
        let journal = opened.map_err(anyhow::Error::from)?;
        let of_console = |console: &ConsoleSettings| OfConsole {
            name: settings.has_several_consoles().then(|| console.name.clone()),
            journal: journal.of_console(console.harfanglab.url.as_str()),
        };
        let consoles = chosen.iter().map(of_console).collect();
        Ok(Self { consoles, runtime, clock: Clock::system() })
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
