//! Elements of a verified body, sorted into what is stored and what is only counted.

use super::{
    Notification,
    decode::Element,
    dialect::{Recognised, recognise},
    verification::Proof,
};

/// What a body held.
#[derive(Debug, Default)]
pub struct Sorted {
    /// To be stored: imports and dead letters.
    pub notifications: Vec<Notification>,
    /// Kind of each element that was acknowledged and is not kept (telemetry).
    pub telemetry: Vec<String>,
}

impl Sorted {
    /// Whether the body held nothing but `{}`.
    pub fn is_connection_test(&self) -> bool {
        self.notifications.is_empty() && self.telemetry.is_empty()
    }
}

/// Sorts the elements of a verified body.
pub fn sort(proof: &Proof, elements: Vec<Element>) -> Sorted {
    let mut sorted = Sorted::default();
    for element in elements {
        match element {
            Element::Unreadable { text, reason } => {
                sorted.notifications.push(Notification::dead_letter(proof, text, reason));
            }
            Element::Json { raw, value } => match recognise(&value) {
                Recognised::Notification(dialect) => {
                    let notification = Notification::of_dialect(proof, dialect, &value, raw);
                    sorted.notifications.push(notification);
                }
                Recognised::Telemetry(kind) => sorted.telemetry.push(kind),
                Recognised::ConnectionTest => {}
                Recognised::Unknown => {
                    let reason = "of no known dialect: neither a HarfangLab alert nor a threat";
                    sorted.notifications.push(Notification::dead_letter(
                        proof,
                        raw,
                        reason.to_owned(),
                    ));
                }
            },
        }
    }
    sorted
}
