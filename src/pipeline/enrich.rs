//! Facts that the console knows beyond the notification: the alert's own page, its rule, its host, its
//! note. Says what was found, and tells "not there" from "could not be asked".
//!
//! Does not live here: whether to wait for what was not found (`waiting`), asking quickly again
//! (`harfanglab`).

use std::sync::Arc;

use serde_json::Value;
use tracing::debug;

use super::console_outage::ConsoleOutage;
use crate::{
    alert::{Agent, Alert, Threat, ThreatRule, element::MaxValues, intelligence::Intelligence},
    convert::{Wanted, carried_intelligence, completed, rule_tags, wanted_intelligence},
    harfanglab::{Console, ConsoleError},
    intake::dialect::{self, Dialect},
};

/// The answer of a look-up.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// The console has it.
    Yes(T),
    /// The console was asked and does not have it, or does not show it yet.
    NotThere,
    /// The console could not be asked.
    Failed(ConsoleError),
    /// Nothing to ask for: it is known already, or the alert does not say enough.
    NothingToAsk,
}

impl<T> Found<T> {
    fn of(answer: Result<Option<T>, ConsoleError>) -> Self {
        match answer {
            Ok(Some(item)) => Self::Yes(item),
            Ok(None) => Self::NotThere,
            // The alert's own fault: waiting for the console changes nothing.
            Err(failure) if failure.is_unaskable() => {
                debug!(%failure, "an alert is imported without a look-up");
                Self::NothingToAsk
            }
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// Asks the console.
pub struct Enricher {
    console: Arc<Console>,
    /// The console's outage, during which hardly anything asks it.
    pub(super) outage: ConsoleOutage,
}

impl Enricher {
    /// An enricher that asks `console`.
    pub fn new(console: Arc<Console>) -> Self {
        Self { console, outage: ConsoleOutage::default() }
    }

    /// The most values that are built of an element.
    pub(super) fn max_values(&self) -> MaxValues {
        self.console.max_values()
    }

    /// Returns the alert as the console shows it: its page's id, and all of it for an ECS event and for an
    /// alert that lost its host on the way, and with it maybe more.
    pub(super) async fn alert_on_console(&self, dialect: Dialect, alert: &Alert) -> Found<Alert> {
        let console = &self.console;
        if alert.api_id.is_some() {
            return Found::NothingToAsk;
        }
        let time = alert.alert_time.or(alert.timestamp);
        let agent_id = alert.agent.id.as_deref();
        match (dialect, &alert.unique_id, agent_id, &alert.rule_name, time) {
            (Dialect::NativeAlert, Some(unique_id), agent_id, _, time)
                if alert.agent.hostname.is_none() =>
            {
                let item = console.alert_by_unique_id(unique_id, agent_id, time).await;
                let read = |item: Value| dialect::read_alert(Dialect::NativeAlert, &item);
                Found::of(item.map(|item| item.map(read)))
            }
            (Dialect::NativeAlert, Some(unique_id), agent_id, _, time) => {
                let page = console.page_of_push(unique_id, agent_id, time).await;
                let alert = |id| Alert { api_id: Some(id), ..Alert::default() };
                Found::of(page.map(|page| page.map(alert)))
            }
            (Dialect::EcsAlert, _, Some(agent_id), Some(rule_name), Some(time)) => {
                let item = console.alert_matching(agent_id, rule_name, time).await;
                let read = |item: Value| dialect::read_alert(Dialect::NativeAlert, &item);
                Found::of(item.map(|item| item.map(read)))
            }
            _ => Found::NothingToAsk,
        }
    }

    /// The rule behind an alert: what the alert carries, completed by what the console knows.
    pub(super) async fn intelligence(&self, alert: &Alert) -> Found<Intelligence> {
        let carried = carried_intelligence(alert);
        let told = match wanted_intelligence(alert) {
            Some(wanted) => self.told(wanted).await,
            None => Found::NothingToAsk,
        };
        match (carried, told) {
            (Some(carried), Found::Yes(told)) => Found::Yes(completed(carried, told)),
            (Some(carried), Found::NotThere | Found::NothingToAsk) => Found::Yes(carried),
            // The conversion falls back to what the alert carries; the console is asked again.
            (_, told) => told,
        }
    }

    async fn told(&self, wanted: Wanted) -> Found<Intelligence> {
        let console = &self.console;
        Found::of(match wanted {
            Wanted::Ioc { kind, value } => console
                .ioc_rule(kind.as_deref(), &value)
                .await
                .map(|rule| rule.map(Intelligence::Ioc)),
            Wanted::Sigma { rule_id, rule_name } => console
                .sigma_rule(rule_id.as_deref(), rule_name.as_deref())
                .await
                .map(|rule| rule.map(Intelligence::Sigma)),
            Wanted::Correlation { rule_id, rule_name } => console
                .correlation_rule(rule_id.as_deref(), rule_name.as_deref())
                .await
                .map(|rule| rule.map(Intelligence::Sigma)),
            Wanted::Yara { candidates } => {
                console.yara_file(&candidates).await.map(|file| file.map(Intelligence::Yara))
            }
        })
    }

    /// The agent's details, when the alert names the agent and not its host or system.
    pub(super) async fn agent(&self, agent: &Agent) -> Found<Agent> {
        match &agent.id {
            Some(id) if agent.hostname.is_none() || agent.os_type.is_none() => {
                Found::of(self.console.agent(id).await)
            }
            _ => Found::NothingToAsk,
        }
    }

    /// The technique tags of a threat's rule, as the console knows the rule.
    pub(super) async fn rule_tags(&self, rule: &ThreatRule) -> Found<Vec<String>> {
        let (id, name) = (rule.id.as_deref(), rule.name.as_deref());
        if !rule.tags.is_empty() || (id.is_none() && name.is_none()) {
            return Found::NothingToAsk;
        }
        let console = &self.console;
        let answer = match (rule.kind.as_deref(), name) {
            (Some("sigma") | None, _) => {
                console.sigma_rule(id, name).await.map(|rule| rule.map(Intelligence::Sigma))
            }
            (Some("correlation"), _) => {
                console.correlation_rule(id, name).await.map(|rule| rule.map(Intelligence::Sigma))
            }
            (Some("yara"), Some(name)) => {
                let names = [name.to_owned()];
                console.yara_file(&names).await.map(|file| file.map(Intelligence::Yara))
            }
            _ => return Found::NothingToAsk,
        };
        Found::of(answer.map(|rule| rule.map(|rule| rule_tags(&rule))))
    }

    /// The threat with its slug and note, which pushes do not carry.
    pub(super) async fn threat(&self, id: &str) -> Found<Threat> {
        let console = &self.console;
        Found::of(match console.threat(id).await {
            Ok(Some(item)) => {
                console.threat_note(id).await.map(|note| Some(with_note(&item, note)))
            }
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        })
    }
}

/// `known` with its empty fields filled from `details`; what an alert says itself stays.
pub(super) fn filled(known: Agent, details: Agent) -> Agent {
    Agent {
        id: known.id.or(details.id),
        hostname: known.hostname.or(details.hostname),
        domain: known.domain.or(details.domain),
        os_type: known.os_type.or(details.os_type),
        os_product: known.os_product.or(details.os_product),
        os_version: known.os_version.or(details.os_version),
        ip_addresses: if known.ip_addresses.is_empty() {
            details.ip_addresses
        } else {
            known.ip_addresses
        },
        version: known.version.or(details.version),
    }
}

fn with_note(item: &Value, note: Option<Value>) -> Threat {
    let mut item = item.clone();
    if let (Some(fields), Some(note)) = (item.as_object_mut(), note) {
        fields.insert("note".to_owned(), note);
    }
    dialect::read_threat(&item)
}
