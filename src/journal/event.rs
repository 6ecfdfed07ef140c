//! Events as the pipeline sees them.

use chrono::{DateTime, Utc};

use super::missing_enrichment::MissingEnrichment;
use crate::{
    alert::IncidentIdentity,
    intake::{Origin, dialect::Dialect},
};

/// Most bytes of text in one claim, unless its only event has more. The pipeline counts on it.
pub const CLAIM_BYTES: usize = 4 << 20;

/// Bytes of the longest text that is handled like any other. Of a larger one as few copies are made as
/// can be.
pub(super) const SMALL_BYTES: usize = 256 << 10;

/// Row id of an event; grows with the order of arrival.
pub type EventId = i64;

/// The right to finish an event, as long as its lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The event.
    pub event: EventId,
    /// The number of the try, counted from its arrival or from when a person last asked for it.
    pub attempt: u32,
    /// The number of this claim of it. Only the latest one may finish it.
    pub fence: u32,
}

/// A claimed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its claim.
    pub claim: Claim,
    /// The key that identifies the alert or threat.
    pub key: String,
    /// The version.
    pub version: String,
    /// The way by which it came.
    pub origin: Origin,
    /// The dialect in which the body is read.
    pub dialect: Dialect,
    /// The notification's text. Of more than 256 KiB it is empty until [`Journal::read_text`] reads it:
    /// a claimed event may wait for memory.
    ///
    /// [`Journal::read_text`]: super::Journal::read_text
    pub body: String,
    /// Length of the text in bytes.
    pub body_bytes: usize,
    /// The time at which it was received.
    pub received_at: DateTime<Utc>,
    /// The time at which the alert was raised, as far as it says.
    pub happened_at: DateTime<Utc>,
    /// The agent it comes from.
    pub agent_id: Option<String>,
    /// The rule's name.
    pub title: Option<String>,
    /// Name and date of its incident, once fixed.
    pub identity: Option<IncidentIdentity>,
    /// For a follow-up: what it is to find, and until when.
    pub follow_up: Option<FollowUp>,
}

impl Event {
    /// Returns whether its claim left the text out.
    pub fn is_unread(&self) -> bool {
        self.body.is_empty() && self.body_bytes > 0
    }
}

/// Information that is still to be asked of the console for a version that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUp {
    /// The enrichment that the delivered version was without.
    pub missing: MissingEnrichment,
    /// The time at which it is asked for next.
    pub due_at: DateTime<Utc>,
    /// Until when it is asked for; afterwards the sweep completes the alert.
    pub deadline: DateTime<Utc>,
}

/// Outcome of a claimed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed by every sink; `root_id` is the STIX id of its incident or case.
    Delivered {
        /// STIX id of the incident or case.
        root_id: String,
        /// Something to tell in the event's history, in plain words.
        remark: Option<String>,
    },
    /// Confirmed by every sink, without all that the console may know of it: a follow-up of the
    /// same key is stored with it.
    DeliveredInPart {
        /// STIX id of the incident or case.
        root_id: String,
        /// Something to tell in the event's history, in plain words.
        remark: Option<String>,
        /// The information to be found, and until when.
        follow_up: FollowUp,
    },
    /// A follow-up that found nothing more in its time. The sweep takes it up again when it sees
    /// the alert in the same version.
    GaveUp {
        /// The reason, in plain words.
        reason: String,
    },
    /// The operator's filter does not let it through.
    Filtered {
        /// The filter.
        reason: String,
    },
    /// The same alert in the same version came by another road.
    Superseded,
    /// It cannot be delivered as it is; kept with the reason.
    Dead {
        /// The reason, in plain words.
        reason: String,
    },
    /// Confirmed by some sinks only. To be tried again, until a newer version has left, which does not wait
    /// for it.
    DeliveredToSome {
        /// STIX id of the incident or case.
        root_id: String,
        /// The time of the next try.
        at: DateTime<Utc>,
        /// The reason, in plain words.
        reason: String,
    },
    /// To be tried again.
    Later {
        /// The time of the next try.
        at: DateTime<Utc>,
        /// The reason, in plain words.
        reason: String,
    },
}

impl Outcome {
    /// Returns whether every sink has it.
    pub fn is_delivery(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::DeliveredInPart { .. })
    }

    /// Returns whether no older version may leave after it.
    pub(super) fn ends_older(&self) -> bool {
        self.is_delivery() || matches!(self, Self::DeliveredToSome { .. })
    }

    /// Returns whether it is tried again.
    pub fn is_tried_again(&self) -> bool {
        matches!(self, Self::DeliveredToSome { .. } | Self::Later { .. })
    }
}

/// The alert that an event turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertName {
    /// `alert_unique_id`.
    pub key: String,
    /// The version, with what the console knows beyond the event.
    pub version: String,
    /// The threat it belongs to.
    pub threat_key: Option<String>,
    /// The time at which the console last changed it, as far as it says.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Objects that the case of a threat refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseObjects {
    /// The threat.
    pub threat_key: String,
    /// Their STIX ids.
    pub object_ids: Vec<String>,
    /// Tells if the case was sent with them.
    pub standing: CaseStanding,
}

/// Tells if a case refers to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseStanding {
    /// It was delivered with its alert; the case does not refer to it yet.
    Waiting,
    /// The case was delivered with it.
    Sent,
    /// The case was delivered without it. It is forgotten: should an alert bring it again, it waits anew.
    LeftOut,
}

/// Outcome of an identification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// The event is this alert now; its incident's name and date, if they are fixed.
    Identified(Option<IncidentIdentity>),
    /// This version of the alert, or a newer one, came by another road already.
    AlreadyThere,
    /// An older version of the alert is on its way and must leave first.
    OlderUnderWay,
}

/// Bytes of texts in the journal, by what removes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextBytes {
    /// Of pending events: to be delivered.
    pub pending: u64,
    /// Of follow-ups, which wait until the console shows more: their time is bounded.
    pub following_up: u64,
    /// Of delivered, filtered and superseded events: the retention of finished events removes them.
    pub finished: u64,
    /// Of dead letters: a person, or their own retention, removes them.
    pub dead: u64,
    /// Of letters that were dropped before dropping removed the text.
    pub dropped: u64,
}

impl TextBytes {
    fn and(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            following_up: self.following_up + other.following_up,
            finished: self.finished + other.finished,
            dead: self.dead + other.dead,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// Events by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting, leased or to be tried again; follow-ups are counted apart.
    pub pending: u64,
    /// Follow-ups that still ask the console for more of what is delivered.
    pub following_up: u64,
    /// Confirmed by every sink.
    pub delivered: u64,
    /// Not let through by the filter.
    pub filtered: u64,
    /// Overtaken, or the same by another road.
    pub superseded: u64,
    /// Dead letters.
    pub dead: u64,
    /// Dropped by a person.
    pub dropped: u64,
    /// Bytes of their texts.
    pub bytes: TextBytes,
    /// The time at which the oldest pending event was received, in milliseconds since 1970.
    pub oldest_pending_ms: Option<i64>,
    /// The time at which the oldest follow-up was begun.
    pub oldest_following_up_ms: Option<i64>,
    /// The time at which the oldest dead letter was received.
    pub oldest_dead_ms: Option<i64>,
}

impl Counts {
    /// Of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let oldest = |one: Option<i64>, two: Option<i64>| one.into_iter().chain(two).min();
        Self {
            pending: self.pending + other.pending,
            following_up: self.following_up + other.following_up,
            delivered: self.delivered + other.delivered,
            filtered: self.filtered + other.filtered,
            superseded: self.superseded + other.superseded,
            dead: self.dead + other.dead,
            dropped: self.dropped + other.dropped,
            bytes: self.bytes.and(other.bytes),
            oldest_pending_ms: oldest(self.oldest_pending_ms, other.oldest_pending_ms),
            oldest_following_up_ms: oldest(
                self.oldest_following_up_ms,
                other.oldest_following_up_ms,
            ),
            oldest_dead_ms: oldest(self.oldest_dead_ms, other.oldest_dead_ms),
        }
    }
}
