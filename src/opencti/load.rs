//! The part of a delivery that is to be sent: its parcels without what the broker confirmed recently, message
//! by message, and the note of it for the journal.
//!
//! Does not live here: what may be left out at all (`confirmed`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{confirmed::ConfirmedObjects, message::Parcel, registration::Registration};
use crate::journal::WorkPart;

/// The parcels of a delivery as they leave.
pub(super) struct Load {
    /// One for each parcel that was to be sent, in that order.
    pub(super) parcels: Vec<Parcel>,
    /// The part that leaves of each sender.
    pub(super) parts: Vec<WorkPart>,
    /// Messages in all.
    pub(super) total: usize,
    /// The era of what was left out.
    era: u64,
}

impl Load {
    /// For a queue of this registration. `senders` are those of the parcels, or none; of those in
    /// `whole` nothing is left out.
    pub(super) fn new(
        confirmed: Option<&ConfirmedObjects>,
        registration: &Arc<Registration>,
        parcels: &[&Parcel],
        senders: &[i64],
        whole: &HashSet<i64>,
    ) -> Self {
        let era = confirmed.map_or(0, |confirmed| confirmed.era(registration));
        let mut earlier = HashMap::new();
        let parcels: Vec<Parcel> = parcels
            .iter()
            .enumerate()
            .map(|(position, parcel)| match confirmed {
                _ if senders.get(position).is_some_and(|sender| whole.contains(sender)) => {
                    (*parcel).clone()
                }
                Some(confirmed) => parcel.only(&confirmed.wanted(&parcel.marks, &mut earlier, era)),
                None => (*parcel).clone(),
            })
            .collect();
        let ids = |parcel: &Parcel| parcel.marks.iter().map(|mark| mark.id.clone()).collect();
        let parts = parcels.iter().zip(senders);
        Self {
            total: parcels.iter().map(|parcel| parcel.contents.len()).sum(),
            parts: parts
                .map(|(parcel, sender)| WorkPart { event: *sender, objects: ids(parcel) })
                .collect(),
            parcels,
            era,
        }
    }

    /// The broker confirmed all of it that `left`, by the parcel's position.
    pub(super) fn is_confirmed(
        &self,
        confirmed: Option<&ConfirmedObjects>,
        left: impl Fn(usize) -> bool,
    ) {
        if let Some(confirmed) = confirmed {
            let parcels = self.parcels.iter().enumerate().filter(|(index, _)| left(*index));
            confirmed.remember(parcels.flat_map(|(_, parcel)| &parcel.marks), self.era);
        }
    }
}
