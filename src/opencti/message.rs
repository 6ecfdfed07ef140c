//! The message on OpenCTI's queue: one object of a bundle, base64 in a JSON envelope, with the keys
//! that pycti 7.260817.0 writes. Workers of every platform from 6.4 on read it.
//!
//! Does not live here: cutting the bundle up (`splitter`), publishing (`queue`).

use std::sync::Arc;

use base64::{display::Base64Display, encoded_len, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};

use super::{
    confirmed::{Mark, Wanted, marks},
    draft::DraftId,
    sink::DeliveryError,
    splitter::split,
    work::WorkId,
};
use crate::stix::Bundle;

/// Room for everything in a message but its content; ids are far shorter.
const ENVELOPE_BYTES: usize = 2048;

/// A bundle cut up, ready to be published once there is a work for it.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// One-object bundles, each for a message, in the order in which they must leave.
    pub(super) contents: Vec<Arc<str>>,
    /// The content of each message.
    pub(super) marks: Vec<Mark>,
    /// True where it is only whole together with what left before it in the same delivery.
    pub(super) leans: bool,
}

impl Parcel {
    /// Cuts up a bundle. Refused: what cannot be split, has nothing in it to import, or makes a
    /// message of more than `max_message_bytes`, on which the broker would close the channel.
    pub(super) fn pack(bundle: &Bundle, max_message_bytes: usize) -> Result<Self, DeliveryError> {
        let refused = |reason: String| DeliveryError::Refused(reason);
        // Kept: a case refers to incidents that are on the platform and not in its bundle, and
        // the conversion leaves no other reference without its object.
        let split = split(bundle).map_err(|error| refused(error.to_string()))?;
        if !split.incompatible.is_empty() {
            tracing::warn!(
                bundle_id = %bundle.id,
                objects = ?split.incompatible,
                "left out objects that OpenCTI could not import"
            );
        }
        if split.pieces.is_empty() {
            return Err(refused("the bundle holds nothing that OpenCTI can import".to_owned()));
        }
        let marks = marks(&split.pieces);
        let mut contents: Vec<Arc<str>> = Vec::with_capacity(split.pieces.len());
        for piece in split.pieces {
            let piece = piece.without_nulls();
            let content = piece.to_bundle(&bundle.id);
            let message_bytes =
                encoded_len(content.len(), true).map_or(usize::MAX, |bytes| bytes + ENVELOPE_BYTES);
            if message_bytes > max_message_bytes {
                let id = piece.object.get("id").and_then(|id| id.as_str()).unwrap_or_default();
                return Err(refused(format!(
                    "{id} makes a message of {message_bytes} bytes, more than the \
                     {max_message_bytes} that the queue takes",
                )));
            }
            contents.push(content.into());
        }
        Ok(Self { contents, marks, leans: false })
    }

    /// The parcel with some of its messages only.
    pub(super) fn only(&self, wanted: &Wanted) -> Self {
        let kept = || wanted.positions.iter().copied();
        Self {
            contents: kept().map(|position| Arc::clone(&self.contents[position])).collect(),
            marks: kept().map(|position| self.marks[position].clone()).collect(),
            leans: wanted.leans,
        }
    }
}

/// The body of a message. `sequence` counts from 1 within a bundle.
pub(super) fn body(
    content: &str,
    sequence: usize,
    applicant_id: Option<&str>,
    work: &WorkId,
    draft: Option<&DraftId>,
) -> Vec<u8> {
    let message = Message {
        bundle_type: "QUEUE_BUNDLE",
        applicant_id,
        action_sequence: sequence,
        entities_types: [],
        content,
        update: false,
        draft_id: draft.map(DraftId::as_str),
        no_split: false,
        work_id: work.as_str(),
    };
    let mut body = Vec::with_capacity(ENVELOPE_BYTES + content.len() / 3 * 4);
    serde_json::to_writer(&mut body, &message).expect("texts and numbers can always be written");
    body
}

fn as_base64<S: Serializer>(content: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(content.as_bytes(), &STANDARD))
}

/// The envelope; it borrows the content, which is most of it.
#[derive(Serialize)]
struct Message<'a> {
    bundle_type: &'static str,
    applicant_id: Option<&'a str>,
    action_sequence: usize,
    /// A list: the worker fails on null.
    entities_types: [&'static str; 0],
    #[serde(serialize_with = "as_base64")]
    content: &'a str,
    update: bool,
    draft_id: Option<&'a str>,
    no_split: bool,
    work_id: &'a str,
}
