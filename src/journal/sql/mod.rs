//! The journal's statements and what is made of their answers, in a file by noun.
//!
//! Does not live here: how statements run (`database`), what is told to others (the types of `journal`).

pub(super) mod activity;
pub(super) mod append;
pub(super) mod claim;
pub(super) mod clock;
pub(super) mod counts;
pub(super) mod dead_letters;
pub(super) mod event_history;
pub(super) mod follow_up;
pub(super) mod identities;
pub(super) mod lost_works;
pub(super) mod merging;
pub(super) mod pruning;
pub(super) mod refused_rules;
pub(super) mod remembered;
pub(super) mod requeue;
pub(super) mod sightings;
pub(super) mod space;
pub(super) mod valid_from;
pub(super) mod versions;
pub(super) mod works;
