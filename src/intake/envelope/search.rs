//! Searches an event for HarfangLab's element inside it.

use std::{borrow::Cow, iter};

use super::{
    may_be_envelope,
    text::{self, Carried, Keeps},
};
use crate::{
    alert::element::{self, MaxValues},
    intake::{
        dialect::{Recognised, has_mark_beside_level, recognise},
        webhook::counted_as,
    },
};

/// Deepest nesting at which an alert is looked for: a shipper behind a shipper has it in the third level.
const DEPTH_MAX: usize = 3;
/// Fields by which events of other products are known that quote what came from the network or ran on a host:
/// Windows events by Winlogbeat and `NXLog`, Suricata, Wazuh, `ModSecurity`, cloud audit logs, Sentry, Jira,
/// `CrowdStrike`, and HarfangLab's entries of the event log.
const OF_OTHERS: [&str; 15] = [
    "EventID",
    "ScriptBlockText",
    "aid",
    "decoder",
    "event_data",
    "exception",
    "flow_id",
    "httpRequest",
    "protoPayload",
    "record_number",
    "request",
    "requestParameters",
    "transaction",
    "webhookEvent",
    "winlog",
];

/// An element of HarfangLab inside an event.
pub(super) struct Inner<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) is_notification: bool,
}

/// Holds what an event has inside.
pub(super) enum Opened<'a> {
    None,
    One(Inner<'a>),
    /// More than one, or one that may be: nothing tells which is meant.
    Several {
        may_be_imported: bool,
    },
}

impl Opened<'_> {
    /// Returns what an event has that has both. Shippers keep a text beside what they read of it, or added to
    /// that: of two copies of one alert the longer one counts.
    fn and(self, other: Self) -> Self {
        let may_be_imported = self.may_be_imported() || other.may_be_imported();
        match (self, other) {
            (found, Self::None) | (Self::None, found) => found,
            (Self::One(one), Self::One(other)) if is_of_one_event(&one.text, &other.text) => {
                Self::One(if one.text.len() < other.text.len() { other } else { one })
            }
            (Self::One(one), Self::One(other))
                if element::content_hash(&one.text) == element::content_hash(&other.text) =>
            {
                Self::One(one)
            }
            _ => Self::Several { may_be_imported },
        }
    }

    fn may_be_imported(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(inner) => inner.is_notification,
            Self::Several { may_be_imported } => *may_be_imported,
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self, Self::Several { may_be_imported: true })
    }

    fn into_owned<'a>(self) -> Opened<'a> {
        match self {
            Self::None => Opened::None,
            Self::One(Inner { text, is_notification }) => {
                Opened::One(Inner { text: text.into_owned().into(), is_notification })
            }
            Self::Several { may_be_imported } => Opened::Several { may_be_imported },
        }
    }
}

/// Returns whether both are one alert: by its id, or by what a detection in ECS says that HarfangLab detected.
pub(super) fn is_of_one_event(one: &str, other: &str) -> bool {
    let both = |name| element::field(one, name).zip(element::field(other, name));
    if let Some((one, other)) = both("alert_unique_id") {
        return one.starts_with('"') && one.eq_ignore_ascii_case(other);
    }
    both("hlab").is_some_and(|(one, other)| {
        one.starts_with('{') && element::content_hash(one) == element::content_hash(other)
    })
}

/// One search through an event.
pub(super) struct Search {
    max: MaxValues,
    /// Objects that may still be looked into.
    left: usize,
    /// A mark of an alert or threat stands outside of what was found.
    pub(super) has_mark: bool,
}

impl Search {
    pub(super) fn new(max: MaxValues) -> Self {
        Self { max, left: max.0, has_mark: false }
    }

    /// Finds HarfangLab's element in the fields of the object `text`.
    pub(super) fn object<'a>(&mut self, text: &'a str) -> Opened<'a> {
        self.fields_of(text, DEPTH_MAX)
    }

    fn fields_of<'a>(&mut self, text: &'a str, depth: usize) -> Opened<'a> {
        let depth = depth.checked_sub(1);
        let depth = depth.filter(|_depth| !is_of_others(text));
        let Some(depth) = depth else {
            self.has_mark |= has_mark_beside_level(text);
            return Opened::None;
        };
        let is_wrapper = text::is_wrapper(text);
        let mut only = Opened::None;
        for (name, value) in element::fields(text) {
            let keeps = text::kept_in(name).filter(|keeps| is_wrapper || *keeps == Keeps::Lines);
            self.has_mark |= has_mark_beside_level(&format!("{{{name}:{}}}", scalar(value)));
            let of_list = value.starts_with('[').then(|| element::items(value));
            let itself = of_list.is_none().then_some(value);
            for value in iter::chain(itself, of_list.into_iter().flatten()) {
                only = only.and(self.value(value, keeps, depth));
                if only.is_settled() {
                    return only;
                }
            }
        }
        only
    }

    /// Finds HarfangLab's element in the object or the text `value`.
    fn value<'a>(&mut self, value: &'a str, keeps: Option<Keeps>, depth: usize) -> Opened<'a> {
        if value.starts_with('{') {
            return self.within(value.into(), depth);
        }
        match text::carried(value, keeps) {
            Carried::None => {
                self.has_mark |= has_mark_beside_level(value);
                Opened::None
            }
            Carried::One(inner) => self.within(inner.into(), depth),
            Carried::Several(text) => {
                Opened::Several { may_be_imported: has_mark_beside_level(&text) }
            }
        }
    }

    /// Finds HarfangLab's element in `inner`: itself, or inside it.
    fn within<'a>(&mut self, inner: Cow<'a, str>, depth: usize) -> Opened<'a> {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        let value = left.and_then(|_left| element::read_checked(&inner, self.max).ok());
        // What has too many values may be an alert.
        let Some(value) = value else {
            return Opened::Several { may_be_imported: has_mark_beside_level(&inner) };
        };
        let recognised = recognise(&value);
        if is_surely_harfanglabs(&recognised) {
            let is_notification = matches!(recognised, Recognised::Notification(_));
            return Opened::One(Inner { text: inner, is_notification });
        }
        if !may_be_envelope(&recognised, &value) {
            self.has_mark |= has_mark_beside_level(&inner);
            return Opened::None;
        }
        drop(value);
        self.fields_of(&inner, depth).into_owned()
    }
}

/// Returns whether another product made the object `text`.
fn is_of_others(text: &str) -> bool {
    element::fields(text)
        .any(|(name, value)| value != "null" && OF_OTHERS.contains(&name.trim_matches('"')))
}

/// Returns a value that a mark may consist of; of others, the name alone says one.
fn scalar(value: &str) -> &str {
    if value.starts_with('"') && value.len() < 64 { value } else { "0" }
}

/// Returns whether it has more than a name in common with what HarfangLab sends.
fn is_surely_harfanglabs(recognised: &Recognised) -> bool {
    match recognised {
        Recognised::Notification(_) => true,
        Recognised::Telemetry(kind) => counted_as(kind) != "other",
        Recognised::ConnectionTest | Recognised::Unknown => false,
    }
}
