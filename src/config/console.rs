//! One console, with everything that belongs to it alone. What a console does not say for itself it has
//! from the options of the service.
//!
//! Does not live here: reading it (`assemble::consoles`).

use super::settings::{
    EnrichmentSettings, HarfangLabSettings, ImportSettings, Settings, WebhookSettings,
};

/// What the one console is called that is configured without `consoles:`.
pub const ONLY_CONSOLE: &str = "harfanglab";

/// A console and what is made of what it brings.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Its name: in paths, logs, metrics and commands.
    pub name: String,
    /// Author of every object that it brings.
    pub author: String,
    /// Its REST API.
    pub harfanglab: HarfangLabSettings,
    /// What is imported and how it is named, marked and scored.
    pub import: ImportSettings,
    /// Where and how it posts. Address, connections and TLS are the same for all consoles.
    pub webhook: WebhookSettings,
    /// Whether the queue of its Elastic connector is read.
    pub elastic_pull: bool,
    /// How long it is asked for what a notification does not say.
    pub enrichment: EnrichmentSettings,
}

impl Settings {
    /// Every console; without `consoles:` the one that the options of the service describe.
    pub fn each_console(&self) -> Vec<ConsoleSettings> {
        if !self.consoles.is_empty() {
            return self.consoles.clone();
        }
        vec![ConsoleSettings {
            name: ONLY_CONSOLE.to_owned(),
            author: self.connector.name.clone(),
            harfanglab: self.harfanglab.clone(),
            import: self.import.clone(),
            webhook: self.webhook.clone(),
            elastic_pull: self.elastic_pull,
            enrichment: self.enrichment.clone(),
        }]
    }

    /// The roads on which alerts of a console come besides its posts, in words.
    pub fn roads_besides_posts(&self, console: &ConsoleSettings) -> &'static str {
        match (self.syslog.is_some(), console.elastic_pull) {
            (true, true) => "syslog, the Elastic connector's queue and the sweep",
            (true, false) => "syslog and the sweep",
            (false, true) => "the Elastic connector's queue and the sweep",
            (false, false) => "the sweep",
        }
    }

    /// Whether consoles have to be told apart.
    pub fn has_several_consoles(&self) -> bool {
        !self.consoles.is_empty()
    }
}
