//! Intake: the webhook and syslog, their verification, decoding, dialects, and the door to the
//! journal.
//!
//! A delivery is admitted by where it comes from, read whole, verified on its raw bytes,
//! decompressed, decoded into elements, classified (of unknown kinds only [`Samples`] are kept), and
//! handed through the [`Door`] as
//! [`Notification`]s, which only a verified delivery can become.
//!
//! Does not live here: storing (`journal` holds the other side of the door), OpenCTI (never
//! imported here), what happens afterwards (`pipeline`).

pub(crate) mod attempts;
mod body;
pub mod decode;
pub mod dialect;
mod door;
pub(crate) mod envelope;
mod memory;
mod notification;
mod origin;
mod refusal;
mod samples;
mod sorting;
pub mod source;
pub mod syslog;
pub mod verification;
pub mod webhook;

pub use self::{
    door::{Door, DoorError, Entries, Entry, Receipt},
    memory::MemoryBudget,
    notification::{Notification, Place, is_believed},
    origin::Origin,
    samples::Samples,
    sorting::{Sorted, sort},
};
