//! What OpenCTI says of a work afterwards: whether it is done, and what it refused.
//!
//! An error's `source` is the object as we sent it, as JSON; its `message` is what the platform
//! answered to the worker. The platform keeps a hundred errors a work.
//!
//! Does not live here: whose object it was (`pipeline`).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::OpenCti, error::OpenCtiError, operations::WORK_ERRORS, platform::Feature, work::WorkId,
};

/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// The state of a work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkReport {
    /// Whether everything announced was imported or refused.
    pub is_complete: bool,
    /// What was refused; what is known to be no loss is left out.
    pub errors: Vec<WorkError>,
}

/// An object that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkError {
    /// Its STIX id; `None` when the platform does not say what it was about.
    pub object: Option<String>,
    /// What the platform said.
    pub reason: String,
}

impl WorkError {
    /// Whether something that the object refers to is not on the platform.
    pub fn is_missing_reference(&self) -> bool {
        ["MISSING_REFERENCE_ERROR", "Element(s) not found"]
            .iter()
            .any(|words| self.reason.contains(words))
    }
}

#[derive(Deserialize)]
struct Data {
    work: Option<Work>,
}

#[derive(Deserialize)]
struct Work {
    status: String,
    errors: Option<Vec<Option<Message>>>,
}

#[derive(Deserialize)]
struct Message {
    message: Option<String>,
    source: Option<String>,
}

impl OpenCti {
    /// How a work went; `None` when the platform does not know it any more.
    ///
    /// # Errors
    /// [`OpenCtiError::Forbidden`] where the token's user may not read works.
    pub async fn read_work(&self, work: &WorkId) -> Result<Option<WorkReport>, OpenCtiError> {
        let data: Data = match self.call(&WORK_ERRORS, json!({"id": work.as_str()})).await {
            Err(error) if error.is_work_gone() => return Ok(None),
            answer => answer?,
        };
        let has_traffic = self.has(Feature::NetworkTraffic);
        Ok(data.work.map(|work| WorkReport {
            is_complete: work.status == "complete",
            errors: work
                .errors
                .into_iter()
                .flatten()
                .flatten()
                .filter(|message| has_traffic || !is_spurious(message))
                .map(read)
                .collect(),
        }))
    }
}

/// Platforms before 7 answer an error to each `network-traffic` with its ends, also the first time,
/// and store it all the same.
fn is_spurious(message: &Message) -> bool {
    let source = object(message);
    source.get("type").and_then(Value::as_str) == Some("network-traffic")
        && message
            .message
            .as_deref()
            .is_some_and(|text| text.contains("another relation on single ref"))
}

fn read(message: Message) -> WorkError {
    let source = object(&message);
    let id = source.get("id").and_then(Value::as_str).map(str::to_owned);
    let reason = message.message.unwrap_or_else(|| "no reason given".to_owned());
    WorkError { object: id, reason: reason.trim().chars().take(MAX_REASON_CHARS).collect() }
}

/// The object in an error's source: itself, or a bundle with it alone. Null when the source holds
/// something else, as it does for objects too large to repeat.
fn object(message: &Message) -> Value {
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

    fn message(source: &str, text: &str) -> Message {
        Message { message: Some(text.to_owned()), source: Some(source.to_owned()) }
    }

    #[test]
    fn the_object_is_found_in_the_source_whatever_is_around_it() {
        let plain = message(r#"{"type":"hostname","id":"hostname--1"}"#, "no");
        let bundled = message(r#"{"type":"bundle","objects":[{"id":"hostname--1"}]}"#, "no");
        let large = message("Bundle too large to display", "no");
        assert_eq!(read(plain).object.as_deref(), Some("hostname--1"));
        assert_eq!(read(bundled).object.as_deref(), Some("hostname--1"));
        assert_eq!(read(large).object, None);
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
