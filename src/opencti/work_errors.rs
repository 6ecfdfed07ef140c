//! Reports of OpenCTI on a work: whether it is done, and what it refused.
//!
//! An error's `source` is the object as we sent it, as JSON; its `message` is what the platform
//! answered to the worker. The platform keeps a hundred errors a work.
//!
//! Does not live here: whose object it was (`pipeline`).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::OpenCti,
    error::OpenCtiError,
    operations::WORK_ERRORS,
    platform::Feature,
    work::{CONTINUED, WorkId},
    worker_words,
};
use crate::stix::references;

/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// The state of a work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkReport {
    /// Set when everything announced was imported or refused.
    pub is_complete: bool,
    /// Objects that were announced.
    pub expected: i64,
    /// Objects that were imported or refused.
    pub processed: i64,
    /// Objects that were refused, without those that are known to be no loss.
    pub errors: Vec<WorkError>,
}

impl WorkReport {
    /// Objects that were announced and neither imported nor refused yet.
    pub fn outstanding(&self) -> usize {
        usize::try_from(self.expected - self.processed).unwrap_or_default()
    }

    /// Returns whether we ourselves closed it before everything that was announced had left.
    pub fn was_interrupted(&self) -> bool {
        self.errors.iter().any(WorkError::is_our_note)
    }
}

/// An object that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkError {
    /// Its STIX id; `None` when the platform does not say what it was about.
    pub object: Option<String>,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The STIX ids that it refers to.
    pub refers_to: Vec<String>,
    /// The platform's own words.
    pub reason: String,
    /// Time at which the platform noted it, by its clock.
    pub at: Option<DateTime<Utc>>,
}

impl WorkError {
    /// Returns whether something that the object refers to is not on the platform.
    pub fn is_missing_reference(&self) -> bool {
        is_missing_reference(&self.reason)
    }

    /// Returns whether the same object may be taken when it comes again.
    pub fn may_be_taken_later(&self) -> bool {
        may_be_taken_later(&self.reason)
    }

    /// Returns whether the platform found the object itself wrong. Words that nobody has seen yet may be
    /// those of a passing failure.
    pub fn is_final(&self) -> bool {
        !self.may_be_taken_later() && FINAL.iter().any(|words| self.reason.contains(words))
    }

    /// Returns whether the platform's checker refused the pattern of an indicator. An indicator that
    /// is too large for the platform to repeat has no id here.
    pub fn is_refused_pattern(&self) -> bool {
        let is_of_indicator = self.object.as_deref().is_none_or(|id| id.starts_with("indicator--"));
        is_of_indicator && PATTERN.iter().all(|words| self.reason.contains(words))
    }

    /// Returns whether a custom field refused a property of the incident.
    pub fn is_refused_property(&self) -> bool {
        self.object.as_deref().is_some_and(|id| id.starts_with("incident--"))
            && is_refused_property(&self.reason)
    }

    /// Returns whether it is no error of the platform but what we said when we closed the work.
    pub fn is_our_note(&self) -> bool {
        self.object.is_none() && self.reason.contains(CONTINUED)
    }
}

/// Codes by which the platform says that something that an object refers to is not there. It says the first
/// also to who may not use an object's marking, which nobody but an administrator changes.
const MISSING: [&str; 3] = ["MISSING_REFERENCE_ERROR", "MISSING_ELEMENTS", "Element(s) not found"];
const MISSING_RIGHT: &str = "missing markings";
/// Its words, in each version seen, when the text of a rule or another pattern does not pass its
/// checker. It says nearly the same of observables.
const PATTERN: [&str; 2] = ["Indicator of type", "not correctly formatted"];
/// Its words for an object that is wrong in itself.
const FINAL: [&str; 4] =
    ["FUNCTIONAL_ERROR", "BAD_USER_INPUT", "VALIDATION_ERROR", "UNSUPPORTED_ERROR"];
/// Texts by which it says that it was too busy: another import held a lock, or something behind it did not
/// answer, after the worker had tried a hundred times.
const BUSY: [&str; 3] = ["LOCK_ERROR", "Bad Gateway", "Request timed out"];

/// Texts, in lower case, by which a custom field refuses a value. A mandatory field for which none was
/// sent stays without one.
const CUSTOM_FIELD: [&str; 6] =
    ["int_value", "string_value", "boolean_value", "date_value", "select_value", "custom field"];
const MANDATORY_FIELD: &str = "mandatory custom field";

fn is_refused_property(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    CUSTOM_FIELD.iter().any(|words| reason.contains(words)) && !reason.contains(MANDATORY_FIELD)
}

fn is_missing_reference(reason: &str) -> bool {
    MISSING.iter().any(|words| reason.contains(words)) && !reason.contains(MISSING_RIGHT)
}

/// Returns whether the same object may be taken when it comes again, by the words with which it was refused.
/// A fault that the platform finds with the object itself (a pattern, a score, a relationship that its
/// schema does not allow) stays wrong, but for properties of our own, which are left out then.
pub fn may_be_taken_later(reason: &str) -> bool {
    is_missing_reference(reason)
        || is_refused_property(reason)
        || BUSY.iter().any(|words| reason.contains(words))
}

#[derive(Deserialize)]
struct Data {
    work: Option<Work>,
}

#[derive(Deserialize)]
struct Work {
    status: String,
    tracking: Option<Tracking>,
    errors: Option<Vec<Option<Reported>>>,
}

#[derive(Default, Deserialize)]
struct Tracking {
    import_expected_number: Option<i64>,
    import_processed_number: Option<i64>,
}

#[derive(Deserialize)]
struct Reported {
    /// A date; text, so that one in another form does not make the work unreadable.
    timestamp: Option<String>,
    message: Option<String>,
    source: Option<String>,
}

impl OpenCti {
    /// Returns how a work went; `None` when the platform does not know it any more.
    ///
    /// # Errors
    /// [`OpenCtiError::Forbidden`] where the token's user may not read works.
    pub async fn read_work(&self, work: &WorkId) -> Result<Option<WorkReport>, OpenCtiError> {
        let data: Data = match self.call(&WORK_ERRORS, json!({"id": work.as_str()})).await {
            Err(error) if error.is_work_gone() => return Ok(None),
            answer => answer?,
        };
        let has_traffic = self.has(Feature::NetworkTraffic);
        Ok(data.work.map(|work| {
            let tracking = work.tracking.unwrap_or_default();
            WorkReport {
                is_complete: work.status == "complete",
                expected: tracking.import_expected_number.unwrap_or_default(),
                processed: tracking.import_processed_number.unwrap_or_default(),
                errors: work
                    .errors
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|message| has_traffic || !is_spurious(message))
                    .map(read)
                    .collect(),
            }
        }))
    }
}

/// Platforms before 7 answer an error to each `network-traffic` with its ends, also the first time,
/// and store it all the same.
fn is_spurious(message: &Reported) -> bool {
    let source = object(message);
    source.get("type").and_then(Value::as_str) == Some("network-traffic")
        && message
            .message
            .as_deref()
            .is_some_and(|text| text.contains("another relation on single ref"))
}

fn read(message: Reported) -> WorkError {
    let source = object(&message);
    let id = source.get("id").and_then(Value::as_str).map(str::to_owned);
    let reason = message.message.unwrap_or_else(|| "no reason given".to_owned());
    let reason = worker_words::plain(&reason);
    WorkError {
        object: id,
        name: source.get("name").and_then(Value::as_str).map(str::to_owned),
        refers_to: source.as_object().into_iter().flat_map(references).map(str::to_owned).collect(),
        reason: reason.chars().take(MAX_REASON_CHARS).collect(),
        at: message.timestamp.and_then(|date| date.parse().ok()),
    }
}

/// The object in an error's source: itself, or a bundle with it alone. Null when the source holds
/// something else, as it does for objects too large to repeat.
fn object(message: &Reported) -> Value {
    let source = message.source.as_deref().unwrap_or_default();
    let mut source: Value = serde_json::from_str(source).unwrap_or_default();
    match source.pointer_mut("/objects/0") {
        Some(only) => only.take(),
        None => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str, text: &str) -> Reported {
        Reported {
            timestamp: Some("2026-05-26T07:40:00.000Z".to_owned()),
            message: Some(text.to_owned()),
            source: Some(source.to_owned()),
        }
    }

    #[test]
    fn the_object_is_found_in_the_source_whatever_is_around_it() {
        let plain = message(r#"{"type":"hostname","id":"hostname--1"}"#, "no");
        let bundled = message(r#"{"type":"bundle","objects":[{"id":"hostname--1"}]}"#, "no");
        let large = message("Bundle too large to display", "no");
        let plain = read(plain);
        assert_eq!(plain.object.as_deref(), Some("hostname--1"));
        assert_eq!(plain.at, "2026-05-26T07:40:00Z".parse().ok());
        assert_eq!(read(bundled).object.as_deref(), Some("hostname--1"));
        assert_eq!(read(large).object, None);
    }

    #[test]
    fn what_passes_is_told_from_what_stays_wrong() {
        for reason in [
            "{'name': 'MISSING_REFERENCE_ERROR', 'message': 'Element(s) not found'}",
            "FUNCTIONAL_ERROR: MISSING_ELEMENTS",
            "LOCK_ERROR: Execution timeout, too many concurrent call on the same entities",
            "502 Bad Gateway",
            "FUNCTIONAL_ERROR: select_value is not in the allowed options (field_name: x_opencti_cf_a)",
            "FUNCTIONAL_ERROR: Custom field definition not found for this entity type",
        ] {
            assert!(may_be_taken_later(reason), "{reason}");
        }
        for reason in [
            "MISSING_REFERENCE_ERROR: User trying to create the data has missing markings",
            "FUNCTIONAL_ERROR: The relationship type based-on is not allowed between",
            "DATABASE_ERROR: You cant create a relation with last_seen less than first_seen",
            "DRAFT_LOCKED",
            "BAD_USER_INPUT: score",
            "FUNCTIONAL_ERROR: Mandatory custom field is missing",
        ] {
            assert!(!may_be_taken_later(reason), "{reason}");
        }
    }

    #[test]
    fn only_the_single_reference_of_a_connection_is_spurious() {
        let words = "UNSUPPORTED_ERROR: Cant add another relation on single ref";
        let of = |kind: &str| format!(r#"{{"type":"{kind}","id":"x--1"}}"#);
        assert!(is_spurious(&message(&of("network-traffic"), words)));
        assert!(!is_spurious(&message(&of("process"), words)));
        assert!(!is_spurious(&message(&of("network-traffic"), "Element(s) not found")));
    }
}
