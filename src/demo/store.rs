//! Data of the simulated console: seven collections of JSON objects, each kept in the order of its
//! first date, with its dates read once.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;
use strum::VariantArray;

/// A collection of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub enum Collection {
    /// `alert/alert/Alert`.
    Alerts,
    /// `alert/alert/Threat`.
    Threats,
    /// `threat_intelligence/IOCRule`.
    IocRules,
    /// `threat_intelligence/SigmaRule`.
    SigmaRules,
    /// `threat_intelligence/CorrelationRule`.
    CorrelationRules,
    /// `threat_intelligence/YaraFile`.
    YaraFiles,
    /// `endpoint/Agent`.
    Agents,
}

impl Collection {
    /// The collection at a place below `/api/data`.
    pub(super) fn at(place: &[&str], name: &str) -> Option<Self> {
        match (place, name) {
            (["alert", "alert"], "Alert") => Some(Self::Alerts),
            (["alert", "alert"], "Threat") => Some(Self::Threats),
            (["threat_intelligence"], "IOCRule") => Some(Self::IocRules),
            (["threat_intelligence"], "SigmaRule") => Some(Self::SigmaRules),
            (["threat_intelligence"], "CorrelationRule") => Some(Self::CorrelationRules),
            (["threat_intelligence"], "YaraFile") => Some(Self::YaraFiles),
            (["endpoint"], "Agent") => Some(Self::Agents),
            _ => None,
        }
    }

    /// Date fields that can be compared and ordered by; the first one orders by default.
    pub(super) fn times(self) -> &'static [&'static str] {
        match self {
            Self::Alerts => &["alert_time", "last_update"],
            Self::Threats => &["creation_date", "first_seen", "last_seen", "last_update"],
            Self::IocRules | Self::SigmaRules | Self::CorrelationRules | Self::YaraFiles => {
                &["creation_date", "last_update"]
            }
            Self::Agents => &["lastseen"],
        }
    }

    /// Fields that can be asked for by value.
    pub(super) fn exact(self) -> &'static [&'static str] {
        match self {
            Self::Alerts => &[
                "status",
                "alert_type",
                "level",
                "maturity",
                "threat_key",
                "alert_unique_id",
                "agent.agentid",
            ],
            Self::Threats => &["status", "level"],
            Self::IocRules => &["value", "type", "source_id"],
            Self::SigmaRules | Self::CorrelationRules => &["rule_name", "name", "source_id"],
            Self::YaraFiles => &["name", "source_id"],
            Self::Agents => &["hostname", "ostype", "status"],
        }
    }
}

/// An object and its dates, in the order of [`Collection::times`].
pub(super) struct Record {
    pub(super) item: Value,
    pub(super) times: Vec<Option<DateTime<Utc>>>,
}

/// One collection.
pub(super) struct Records {
    collection: Collection,
    records: Vec<Record>,
}

impl Records {
    pub(super) fn new(collection: Collection) -> Self {
        Self { collection, records: Vec::new() }
    }

    /// Adds an object at its place in time; of equal dates the later addition comes later.
    pub(super) fn add(&mut self, item: Value) {
        let record = self.record(item);
        let place = self.records.partition_point(|other| other.times[0] <= record.times[0]);
        self.records.insert(place, record);
    }

    /// Replaces fields of the object whose `field` is `value`; `None` when there is none.
    pub(super) fn update(&mut self, field: &str, value: &str, changes: &Value) -> Option<()> {
        let is_it = |record: &Record| field_text(&record.item, field).as_deref() == Some(value);
        let mut item = self.records.remove(self.records.iter().position(is_it)?).item;
        if let (Some(item), Some(changes)) = (item.as_object_mut(), changes.as_object()) {
            item.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        self.add(item);
        Some(())
    }

    /// The object whose `id` (for a Sigma or correlation rule also `rule_id`) is `id`.
    pub(super) fn by_id(&self, id: &str) -> Option<&Value> {
        let fields: &[&str] = match self.collection {
            Collection::SigmaRules | Collection::CorrelationRules => &["id", "rule_id"],
            _ => &["id"],
        };
        let is_it = |record: &&Record| {
            fields.iter().any(|field| field_text(&record.item, field).as_deref() == Some(id))
        };
        self.records.iter().find(is_it).map(|record| &record.item)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    fn record(&self, item: Value) -> Record {
        let read = |field: &&str| {
            let text = item.get(*field)?.as_str()?;
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
        };
        let times = self.collection.times().iter().map(read).collect();
        Record { item, times }
    }
}

/// A field, `agent.agentid` style, as the text a filter is compared with.
pub(super) fn field_text<'a>(item: &'a Value, field: &str) -> Option<Cow<'a, str>> {
    let mut value = item;
    for part in field.split('.') {
        value = value.get(part)?;
    }
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}
