//! One alert in its three forms: as a syslog forwarder posts it, as the API shows it, and (in
//! `ecs`) as the Elastic connector pushes it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{
    ecs,
    hosts::{Generation, Host, fixed_id},
    kinds::{Kind, Rule},
    random::Random,
    rules::sha256,
};

/// A simulated alert.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoAlert {
    native: Value,
    host: &'static str,
    rule: String,
    unique_id: String,
    raised_at: DateTime<Utc>,
}

impl DemoAlert {
    pub(super) fn new(
        kind: Kind,
        host: &'static Host,
        random: &mut Random,
        now: DateTime<Utc>,
    ) -> Self {
        let rule = kind.rule(host.os_type);
        let unique_id = random.uuid();
        let mut native = envelope(&rule, host, &unique_id, now);
        native.insert("alert_type".to_owned(), kind.alert_type().into());
        native.insert("alert_subtype".to_owned(), kind.alert_subtype().into());
        if let Value::Object(evidence) = kind.evidence(host, random, now) {
            native.extend(evidence);
        }
        Self {
            native: Value::Object(native),
            host: host.name,
            rule: rule.name,
            unique_id,
            raised_at: now,
        }
    }

    /// As a syslog forwarder posts it: with `alert_unique_id`, without `id`.
    pub fn native(&self) -> Value {
        self.native.clone()
    }

    /// As the API shows it: with `id` and `last_update`, without the forwarder's own fields.
    pub fn api_item(&self) -> Value {
        let mut item = self.native.clone();
        if let Some(fields) = item.as_object_mut() {
            for of_the_forwarder in ["@version", "destination", "type", "log_type"] {
                fields.shift_remove(of_the_forwarder);
            }
            fields.insert("id".to_owned(), self.api_id().into());
            fields.insert("last_update".to_owned(), fields["alert_time"].clone());
        }
        item
    }

    /// As the Elastic connector pushes it: ECS 9, without any id.
    pub fn ecs(&self) -> Value {
        ecs::alert(&self.native, self.event_time())
    }

    /// `alert_unique_id`.
    pub fn unique_id(&self) -> &str {
        &self.unique_id
    }

    /// The API's own `id`, which no push carries.
    pub fn api_id(&self) -> String {
        let bytes = sha256(&self.unique_id);
        BASE64_URL_SAFE_NO_PAD.encode(&bytes.as_bytes()[..15])
    }

    /// Name of the host.
    pub fn host(&self) -> &str {
        self.host
    }

    /// `agentid` of the host.
    pub fn agent_id(&self) -> String {
        fixed_id(self.host)
    }

    /// Name of the rule.
    pub fn rule_name(&self) -> &str {
        &self.rule
    }

    /// `alert_time`.
    pub fn raised_at(&self) -> DateTime<Utc> {
        self.raised_at
    }

    /// Returns the time of the event behind it, which an ECS push gives as its time.
    pub fn event_time(&self) -> DateTime<Utc> {
        self.raised_at - EVENT_TO_ALERT
    }
}

/// From the event on the host to the alert on the console.
const EVENT_TO_ALERT: TimeDelta = TimeDelta::milliseconds(640);

/// Everything that does not depend on what was found, as the host's generation writes it.
fn envelope(rule: &Rule, host: &Host, unique_id: &str, now: DateTime<Utc>) -> Map<String, Value> {
    let event = host.date(now - EVENT_TO_ALERT);
    let level_int = match rule.level {
        "low" => 20,
        "medium" => 30,
        "high" => 40,
        _ => 50,
    };
    let mut alert = json!({
        "log_type": "alert",
        "alert_unique_id": unique_id,
        "alert_time": host.date(now),
        "@timestamp": host.date(now + TimeDelta::milliseconds(180)),
        "@event_create_date": event,
        "rule_name": rule.name,
        "rule_id": rule.id,
        "msg": rule.message,
        "level": rule.level,
        "level_int": level_int,
        "maturity": "stable",
        "status": "new",
        "execution": 0,
        "quarantine": 4,
        "detection_origin": "agent",
        "tags": rule.tags,
        "mitre_cells": rule.cells,
        "aggregation_key": sha256(&format!("{} on {}", rule.name, host.name)),
        "threat_key": host.threat_key(),
        "threat_type": "new",
        "threat_values": [],
        "groups": [{"id": fixed_id("group"), "name": "Cedar"}],
        "tenant": "cedar-demo",
        "agent": host.agent(),
    });
    match host.generation() {
        Generation::Third => {
            alert["@version"] = "1".into();
            alert["destination"] = "syslog".into();
            alert["type"] = "rtlogs".into();
        }
        Generation::Fourth => {
            alert["type"] = "rtlogs".into();
            alert["detection_date"] = event.into();
            alert["rule_content"] = rule.content.clone().into();
        }
        Generation::Fifth => {
            alert["detection_date"] = event.clone().into();
            alert["detection_timestamp"] = event.into();
            alert["confidence"] = "moderate".into();
            alert["confidence_int"] = 200.into();
            alert["status_history"] = json!([{"action": "created", "timestamp": host.date(now)}]);
        }
    }
    match alert {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
