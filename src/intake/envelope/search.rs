//! Searches an event for HarfangLab's element inside it.

use std::{borrow::Cow, cell::LazyCell, iter};

use super::{
    is_lifted, may_be_envelope,
    text::{self, Carried, Keeps},
};
use crate::{
    alert::element::{self, MaxValues},
    intake::dialect::{Recognised, counted_as, has_mark_beside_level, recognise},
};

/// Deepest nesting at which an alert is looked for: a shipper behind a shipper has it in the third level.
const DEPTH_MAX: usize = 3;
/// Longest value by which copies are known.
const FIELD_MAX_BYTES: usize = 200;
/// Fields by which events of other products are known that quote what came from the network or ran on a host, and a
/// field inside of those that others have, too: Windows events by Winlogbeat, `NXLog` and Splunk, Suricata, Wazuh,
/// `ModSecurity`, cloud audit logs, Sentry, Jira, and HarfangLab's entries of the event log.
const OF_OTHERS: [(&str, Option<&str>); 15] = [
    ("EventCode", None),
    ("EventID", None),
    ("ScriptBlockText", None),
    ("decoder", None),
    ("event_data", None),
    ("exception", Some("values")),
    ("flow_id", None),
    ("protoPayload", None),
    ("record_number", None),
    ("request", Some("data")),
    ("requestParameters", None),
    ("transaction", Some("request")),
    ("webhookEvent", None),
    ("winlog", None),
    ("winlog.event_id", None),
];

/// An element of HarfangLab inside an event.
pub(super) struct Inner<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) is_notification: bool,
    copy_of: CopyOf,
}

/// Tells copies of one element from other elements.
#[derive(Debug, PartialEq, Eq)]
enum CopyOf {
    /// An alert with its id, status, level and threat: shippers add fields and drop others.
    Alert([Option<String>; 4]),
    /// A text with this hash.
    Text(String),
}

impl CopyOf {
    fn read(text: &str) -> Self {
        let said = ["alert_unique_id", "status", "level", "threat_key"]
            .map(|name| element::field(text, name).filter(|it| it.len() < FIELD_MAX_BYTES));
        if said[0].is_none_or(|id| !id.starts_with('"')) {
            return Self::Text(element::content_hash(text));
        }
        Self::Alert(said.map(|it| it.map(str::to_ascii_lowercase)))
    }
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
    /// that: of two copies of one version of an alert the longer one counts.
    fn and(self, other: Self) -> Self {
        let may_be_imported = self.may_be_imported() || other.may_be_imported();
        match (self, other) {
            (found, Self::None) | (Self::None, found) => found,
            (Self::One(one), Self::One(other)) if one.copy_of == other.copy_of => {
                Self::One(if one.text.len() < other.text.len() { other } else { one })
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
            Self::One(inner) => {
                Opened::One(Inner { text: inner.text.into_owned().into(), ..inner })
            }
            Self::Several { may_be_imported } => Opened::Several { may_be_imported },
        }
    }
}

/// Returns whether `inner` is the whole text of the alert whose fields a shipper lifted into `event`: it has
/// the same id, or, in ECS, the same time and detection.
fn is_original_of(inner: &str, event: &str) -> bool {
    let both = |name: &'static str| element::field(inner, name).zip(element::field(event, name));
    let is_same = |name: &'static str| {
        both(name).is_some_and(|(inner, event)| {
            element::content_hash(inner) == element::content_hash(event)
        })
    };
    if let Some((inner, event)) = both("alert_unique_id") {
        return inner.starts_with('"') && inner.eq_ignore_ascii_case(event);
    }
    is_same("@timestamp") && is_same("hlab")
}

/// One search through an event.
pub(super) struct Search {
    max: MaxValues,
    /// Objects that may still be looked into.
    left: usize,
    /// A mark of an alert or threat stands outside of what was found.
    pub(super) has_mark: bool,
    /// A text in base64 has such a mark.
    pub(super) has_hidden: bool,
}

impl Search {
    pub(super) fn new(max: MaxValues) -> Self {
        Self { max, left: max.0, has_mark: false, has_hidden: false }
    }

    /// Finds HarfangLab's element in the fields of the event `text`.
    pub(super) fn object<'a>(&mut self, text: &'a str) -> Opened<'a> {
        self.event(text, DEPTH_MAX)
    }

    /// Finds the whole text of the alert whose fields a shipper lifted into `text`.
    pub(super) fn original_of<'a>(&mut self, text: &'a str) -> Opened<'a> {
        self.original(text, DEPTH_MAX)
    }

    fn event<'a>(&mut self, text: &'a str, depth: usize) -> Opened<'a> {
        if is_of_others(text) {
            self.has_mark |= has_mark_beside_level(text);
            return Opened::None;
        }
        self.fields_of(text, depth)
    }

    fn original<'a>(&mut self, text: &'a str, depth: usize) -> Opened<'a> {
        match self.fields_of(text, depth) {
            Opened::One(inner) if is_original_of(&inner.text, text) => Opened::One(inner),
            _ => Opened::None,
        }
    }

    fn fields_of<'a>(&mut self, text: &'a str, depth: usize) -> Opened<'a> {
        let Some(depth) = depth.checked_sub(1) else {
            self.has_mark |= has_mark_beside_level(text);
            return Opened::None;
        };
        let is_wrapper = LazyCell::new(|| text::is_wrapper(text));
        let mut only = Opened::None;
        for (name, value) in element::fields(text) {
            let keeps = text::kept_in(name).filter(|keeps| *keeps == Keeps::Lines || *is_wrapper);
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
            Carried::Hidden => {
                self.has_hidden = true;
                Opened::None
            }
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
            if is_lifted(&recognised, &value)
                && let original @ Opened::One(_) = self.original(&inner, depth)
            {
                return original.into_owned();
            }
            let copy_of = CopyOf::read(&inner);
            return Opened::One(Inner { text: inner, is_notification, copy_of });
        }
        if !may_be_envelope(&recognised, &value) {
            self.has_mark |= has_mark_beside_level(&inner);
            return Opened::None;
        }
        drop(value);
        self.event(&inner, depth).into_owned()
    }
}

/// Returns whether another product made the object `text`.
fn is_of_others(text: &str) -> bool {
    element::fields(text).any(|(name, value)| {
        let is_it = |(of_other, inside): &(&str, Option<&str>)| {
            name.trim_matches('"') == *of_other
                && value != "null"
                && inside
                    .is_none_or(|it| value.starts_with('{') && element::field(value, it).is_some())
        };
        OF_OTHERS.iter().any(is_it)
    })
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
