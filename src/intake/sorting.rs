//! Elements of a verified body, classified into what is stored and what is only counted.

use std::sync::Arc;

use super::{
    Notification, Samples,
    decode::Element,
    dialect::{Recognised, UnknownKind, counted_as, has_mark_beside_level, recognise_unknown},
    envelope::{self, Read},
    samples::Sampled,
    verification::Proof,
};
use crate::alert::element::MaxValues;

/// The reason for which an element that may be an alert or a threat is a dead letter.
const MARKED: &str = "of no known dialect, and it may be an alert or a threat; have the sender pass on \
                      HarfangLab's JSON as it is";

/// The contents of a body.
#[derive(Debug, Default)]
pub struct Sorted {
    /// To be stored: imports and dead letters.
    pub notifications: Vec<Notification>,
    /// Kind of each element that was acknowledged and is not kept (telemetry).
    pub telemetry: Vec<String>,
    /// Elements of unknown kinds of which enough is kept.
    pub unknown: usize,
}

impl Sorted {
    /// Returns whether the body held nothing but `{}`.
    pub fn is_connection_test(&self) -> bool {
        self.notifications.is_empty() && self.telemetry.is_empty() && self.unknown == 0
    }

    /// Elements that were acknowledged and are not kept.
    pub fn ignored(&self) -> usize {
        self.telemetry.len() + self.unknown
    }

    fn add(
        &mut self,
        proof: &Proof,
        Read { recognised, value, text, doubt }: Read<'_>,
        samples: &Samples,
    ) {
        if let Some(doubt) = doubt {
            let letter = Notification::dead_letter(proof, text, doubt.to_string());
            return self.notifications.push(letter);
        }
        match recognised {
            Recognised::Notification(dialect) => {
                let notification = Notification::of_dialect(proof, dialect, &value, text);
                self.notifications.push(notification);
            }
            // A kind that is new to us may be an alert.
            Recognised::Telemetry(kind)
                if counted_as(&kind) == "other" && has_mark_beside_level(&text) =>
            {
                let reason = MARKED.to_owned();
                self.notifications.push(Notification::dead_letter(proof, text, reason));
            }
            Recognised::Telemetry(kind) => self.telemetry.push(kind),
            Recognised::ConnectionTest => {}
            Recognised::Unknown => self.unknown(proof, text.into(), None, samples),
        }
    }

    fn unknown(
        &mut self,
        proof: &Proof,
        text: Arc<str>,
        reason: Option<String>,
        samples: &Samples,
    ) {
        match recognise_unknown(&text) {
            UnknownKind::Telemetry(kind) => self.telemetry.push(kind.to_owned()),
            UnknownKind::Marked => {
                let reason = reason.unwrap_or_else(|| MARKED.to_owned());
                self.notifications.push(Notification::dead_letter(proof, text, reason));
            }
            UnknownKind::Shaped(shape) => {
                let sample = Notification::sample(proof, text, &shape);
                match samples.decide(&shape, sample.key(), proof.received_at()) {
                    Sampled::Kept => self.notifications.push(sample),
                    Sampled::Counted => self.unknown += 1,
                }
            }
        }
    }
}

/// Classifies the elements of a verified body, one after the other, so that the values of one alone
/// are there at a time. Of unknown kinds `samples` says which are kept; of what is read no more than
/// `max` values are built.
pub fn sort(
    proof: &Proof,
    elements: Vec<Element<'_>>,
    samples: &Samples,
    max: MaxValues,
) -> Sorted {
    let mut sorted = Sorted::default();
    for element in elements {
        let read = match element {
            Element::Json { raw } => envelope::read(raw.clone(), max)
                .map_err(|unread| (Arc::from(raw), unread.to_string())),
            Element::Unreadable { text, reason } => Err((Arc::from(text), reason.into_owned())),
        };
        match read {
            Err((text, reason)) => sorted.unknown(proof, text, Some(reason), samples),
            Ok(read) => sorted.add(proof, read, samples),
        }
    }
    sorted
}
