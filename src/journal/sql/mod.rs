//! The journal's statements and what is made of their answers, in a file by noun.
//!
//! Does not live here: how statements run (`database`), what is told to others (the types of `journal`).

pub(super) mod activity;
pub(super) mod append;
pub(super) mod claim;
pub(super) mod clock;
pub(super) mod counts;
pub(super) mod follow_up;
pub(super) mod incidents;
pub(super) mod letters;
pub(super) mod lost_works;
pub(super) mod merging;
pub(super) mod operations;
pub(super) mod refused_rules;
pub(super) mod remembered;
pub(super) mod sent_again;
pub(super) mod sightings;
pub(super) mod space;
pub(super) mod valid_from;
pub(super) mod versions;
pub(super) mod works;
