//! The alert's own text as a note on its incident, for those who ask for it.

use std::borrow::Cow;

use serde_json::Value;

use super::{Conversion, ConvertSettings, draft, markdown::fenced};
use crate::{
    config::RawAttachment,
    stix::{clean, object::Note, time::Timestamp},
};

/// The most of an alert's text that goes along, in bytes.
const LONGEST_RAW_BYTES: usize = 64 << 10;

/// Adds `raw`, the text that was converted, if the settings say so. Each version of an alert has
/// its own text, and so its own note.
#[must_use]
pub fn attach_raw(conversion: Conversion, raw: &str, settings: &ConvertSettings) -> Conversion {
    match settings.raw {
        RawAttachment::None => conversion,
        RawAttachment::Note => with_note(conversion, raw, settings),
    }
}

fn with_note(conversion: Conversion, raw: &str, settings: &ConvertSettings) -> Conversion {
    let created = Timestamp(conversion.identity.created);
    let note = Note {
        title: format!("Alert as HarfangLab sent it: {}", conversion.identity.name),
        content: content(&indented(raw)),
        created,
        modified: created,
        object_refs: vec![conversion.root_id.clone()],
        external_references: Vec::new(),
    };
    let object = draft::provenance(settings).sign(&note);
    Conversion { bundle: conversion.bundle.with(object), ..conversion }
}

/// The text with one field a line. A long text stays as it was sent: most of it is cut off, and
/// nothing of it need be built for that.
fn indented(raw: &str) -> Cow<'_, str> {
    let value = (raw.len() <= LONGEST_RAW_BYTES).then(|| serde_json::from_str::<Value>(raw));
    match value {
        Some(Ok(value)) => Cow::Owned(format!("{value:#}")),
        // Too long, or with a number that no reader represents.
        _ => Cow::Borrowed(raw),
    }
}

/// The text in a fence, cut off at the limit.
fn content(text: &str) -> String {
    let text = clean::text(text);
    let kept = &text[..text.floor_char_boundary(LONGEST_RAW_BYTES)];
    let cut = match text.len() - kept.len() {
        0 => String::new(),
        left_out => format!("\n\nCut off here: {left_out} more bytes."),
    };
    format!("{}{cut}", fenced("json", kept))
}
