//! Alert → STIX, threat → STIX. Pure: no I/O, no clock, no randomness; the same input gives the
//! same bytes. The contract is the mapping page; a value that the platform would refuse is left
//! out and reported, never fatal.
//!
//! Does not live here: look-ups (`harfanglab`), what was sent before (`journal`).

pub mod gate;

mod account;
mod attack;
mod common;
mod dates;
mod description;
mod draft;
mod file;
mod further_iocs;
mod host;
mod incident;
mod indicator;
mod ioc;
mod label;
mod markdown;
mod message;
mod naming;
mod network;
mod process;
mod properties;
mod raw;
mod registry;
mod rule;
mod sigma;
mod sigma_check;
mod threat;
mod yara_check;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use url::Url;

pub use self::{
    incident::convert_alert,
    indicator::{WOULD_REFUSE, rule_tags},
    raw::attach_raw,
    rule::{Wanted, carried_intelligence, completed, wanted_intelligence},
    threat::{MOST_CASE_OBJECTS, convert_threat},
};
use crate::{
    alert::{IncidentIdentity, MergedSightings, SeenIndicator, Sighted},
    config::{AccountIdentity, CustomProperties, IncidentNaming, Marking, RawAttachment},
    stix::{Bundle, time::timestamp},
};

/// Settings that every conversion of this service shares.
#[derive(Debug, Clone)]
pub struct ConvertSettings {
    /// `CONNECTOR_NAME`: name of the author identity and `source` of incidents.
    pub author: String,
    /// Marking of every object.
    pub marking: Marking,
    /// Score of the indicator and of the observables that the rule matched.
    pub score: Option<u8>,
    /// Score of incidents; `None` also where the platform knows none.
    pub incident_score: Option<u8>,
    /// Says whether properties of our own go along.
    pub custom_properties: CustomProperties,
    /// Names of incidents.
    pub naming: IncidentNaming,
    /// Identity of user accounts.
    pub accounts: AccountIdentity,
    /// Says whether the alert's own text goes along.
    pub raw: RawAttachment,
    /// Says whether connections go out as objects of their own.
    pub network_traffic: NetworkTraffic,
    /// Checker of the texts of rules that the platform has.
    pub rule_checker: RuleChecker,
    /// Alert status → id of the workflow status that OpenCTI gives the incident.
    pub workflow: BTreeMap<String, String>,
    /// Base URL of the console, for links.
    pub console_url: Url,
}

/// Says whether connections go out as `network-traffic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkTraffic {
    /// As objects with both ends and their ports.
    Sent,
    /// Their addresses and domain names alone: OpenCTI before version 7 reports an error for each
    /// `network-traffic` that has an end.
    AddressesOnly,
}

/// The platform's checker of Sigma and YARA texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleChecker {
    /// pySigma and libyara: what they surely refuse is not sent.
    Strict,
    /// Those of older platforms, which take more: only what is no rule at all is not sent.
    Lenient,
}

/// Facts that the journal knows of an alert or threat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Time of the notification's receipt: the last resort for a date.
    pub received_at: DateTime<Utc>,
    /// Name and creation date of the incident or case, once fixed.
    pub identity: Option<IncidentIdentity>,
    /// The other alerts of the same indicator on the same system.
    pub merged_sightings: MergedSightings,
    /// Id that follows from the content of the threat's note as it was delivered last: a changed
    /// note goes out under it, so that it changes the note that is there.
    pub note_id: Option<String>,
}

impl Known {
    /// Returns what is known of an alert or threat that was received just now.
    pub fn received(received_at: DateTime<Utc>) -> Self {
        Self {
            received_at,
            identity: None,
            merged_sightings: MergedSightings::default(),
            note_id: None,
        }
    }
}

/// A finished conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// Objects that are sent.
    pub bundle: Bundle,
    /// STIX id of the incident or case.
    pub root_id: String,
    /// Name and date that the root's id was made from; the journal keeps them.
    pub identity: IncidentIdentity,
    /// The sighting, when there is one.
    pub sighted: Option<Sighted>,
    /// The indicator, when there is one.
    pub indicator: Option<SeenIndicator>,
    /// The indicators of further IOCs that the alert matched.
    pub further_indicators: Vec<SeenIndicator>,
    /// Id that follows from the content of the threat's note: what the next change of it goes out
    /// under.
    pub note_id: Option<String>,
    /// Ids of objects that unrelated hosts share: no case refers to them.
    pub common: Vec<String>,
    /// Values that did not qualify, each with the reason.
    pub left_out: Vec<LeftOut>,
}

impl Conversion {
    /// Returns all indicators.
    pub fn indicators(&self) -> impl Iterator<Item = &SeenIndicator> {
        self.indicator.iter().chain(&self.further_indicators)
    }

    /// Dates an indicator as its other alerts did: until then it is valid from this alert on.
    pub fn date_indicator(&mut self, id: &str, valid_from: DateTime<Utc>) {
        for object in &mut self.bundle.objects {
            if object.get("id").is_some_and(|it| it == id) {
                object.insert("valid_from".to_owned(), timestamp(valid_from).into());
            }
        }
    }

    /// Removes an indicator with its sighting and relationships, because of `why`: the platform
    /// refuses the text of the rule.
    pub(crate) fn leave_out_rule(&mut self, id: &str, why: String) {
        self.further_indicators.retain(|further| further.id != id);
        if self.indicator.take_if(|indicator| indicator.id == id).is_some() {
            self.sighted = None;
        }
        self.bundle.objects.retain(|object| {
            let is = |key: &str| object.get(key).is_some_and(|it| it == id);
            !["id", "source_ref", "target_ref", "sighting_of_ref"].into_iter().any(is)
        });
        self.left_out.push(LeftOut { what: "refused rule", why });
    }

    /// Ids of what a case about this alert refers to: its incident, and everything that the
    /// incident shows but relationships, sightings, notes, author, marking and what unrelated hosts share.
    pub fn case_references(&self) -> impl Iterator<Item = &str> {
        self.bundle.objects.iter().filter_map(|object| {
            let text = |key: &str| object.get(key).and_then(serde_json::Value::as_str);
            let is_no_member = matches!(
                text("type")?,
                "relationship" | "sighting" | "note" | "marking-definition" | "case-incident"
            );
            let is_author = text("identity_class") == Some("organization");
            let id = text("id").filter(|_| !is_no_member && !is_author)?;
            (!self.common.iter().any(|common| common == id)).then_some(id)
        })
    }
}

/// A value that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Kind of the value, for example `hostname`.
    pub what: &'static str,
    /// Reason for which it does not qualify, and what is done instead: a sentence without its full stop.
    pub why: String,
}
