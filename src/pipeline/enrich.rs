//! What the console knows beyond the notification: the alert's own page, its rule, its note.
//!
//! A look-up that fails for a while is tried again, a few times; then the alert goes out with what
//! is known. The console never keeps an alert from being delivered.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tracing::warn;

use crate::{
    alert::{Alert, Threat, intelligence::Intelligence},
    convert::{Wanted, carried_intelligence, wanted_intelligence},
    harfanglab::{Console, ConsoleError},
    intake::dialect::{self, Dialect},
};

/// Tries in which a failing console may hold an alert back: seconds, not minutes.
const TRIES_WITH_CONSOLE: u32 = 3;
/// First wait for an alert that the console does not show yet: alerts become visible late.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What a look-up answers.
pub enum Found<T> {
    /// The console has it.
    Yes(T),
    /// The console does not have it, or could not be asked and will not be waited for.
    No,
    /// To be asked again after this long.
    AskAgain(Duration, String),
}

/// Asks the console.
pub struct Enricher {
    console: Arc<Console>,
}

impl Enricher {
    /// An enricher that asks `console`.
    pub fn new(console: Arc<Console>) -> Self {
        Self { console }
    }

    /// The alert as the console shows it: for its page's id, and for an ECS event all of it.
    pub async fn alert_on_console(
        &self,
        dialect: Dialect,
        alert: &Alert,
        attempt: u32,
    ) -> Found<Alert> {
        let console = &self.console;
        if alert.api_id.is_some() {
            return Found::No;
        }
        let answer = match (dialect, &alert.unique_id, &alert.agent.id, &alert.rule_name) {
            (Dialect::NativeAlert, Some(unique_id), _, _) => {
                console.alert_by_unique_id(unique_id).await
            }
            (Dialect::EcsAlert, _, Some(agent_id), Some(rule_name)) => {
                let Some(time) = alert.alert_time.or(alert.timestamp) else {
                    return Found::No;
                };
                console.alert_matching(agent_id, rule_name, time).await
            }
            _ => return Found::No,
        };
        match found(answer, attempt) {
            Found::Yes(item) => Found::Yes(dialect::read_alert(Dialect::NativeAlert, &item)),
            // Looked for once more, a little later, before the alert leaves without it.
            Found::No if attempt == 1 => {
                Found::AskAgain(FIRST_WAIT, "the console does not show the alert yet".to_owned())
            }
            Found::No => Found::No,
            Found::AskAgain(wait, reason) => Found::AskAgain(wait, reason),
        }
    }

    /// The rule behind an alert: what the alert carries, else what the console knows.
    pub async fn intelligence(&self, alert: &Alert, attempt: u32) -> Found<Intelligence> {
        if let Some(carried) = carried_intelligence(alert) {
            return Found::Yes(carried);
        }
        let Some(wanted) = wanted_intelligence(alert) else {
            return Found::No;
        };
        let console = &self.console;
        let answer = match wanted {
            Wanted::Ioc { value } => {
                console.ioc_rule(&value).await.map(|rule| rule.map(Intelligence::Ioc))
            }
            Wanted::Sigma { rule_id, rule_name } => console
                .sigma_rule(rule_id.as_deref(), rule_name.as_deref())
                .await
                .map(|rule| rule.map(Intelligence::Sigma)),
            Wanted::Yara { candidates } => {
                console.yara_file(&candidates).await.map(|file| file.map(Intelligence::Yara))
            }
        };
        found(answer, attempt)
    }

    /// The threat with its slug and note, which pushes do not carry.
    pub async fn threat(&self, id: &str, attempt: u32) -> Found<Threat> {
        let console = &self.console;
        let answer = match console.threat(id).await {
            Ok(Some(item)) => match console.threat_note(id).await {
                Ok(note) => Ok(Some(with_note(&item, note))),
                Err(failure) => Err(failure),
            },
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        };
        found(answer, attempt)
    }
}

fn with_note(item: &Value, note: Option<Value>) -> Threat {
    let mut item = item.clone();
    if let (Some(fields), Some(note)) = (item.as_object_mut(), note) {
        fields.insert("note".to_owned(), note);
    }
    dialect::read_threat(&item)
}

fn found<T>(answer: Result<Option<T>, ConsoleError>, attempt: u32) -> Found<T> {
    match answer {
        Ok(Some(item)) => Found::Yes(item),
        Ok(None) => Found::No,
        Err(failure) if failure.is_transient() && attempt < TRIES_WITH_CONSOLE => {
            let wait = Duration::from_secs(u64::from(attempt) * 2);
            Found::AskAgain(wait, failure.to_string())
        }
        Err(failure) => {
            warn!(%failure, "the console could not be asked; the alert goes out with what is known");
            Found::No
        }
    }
}
