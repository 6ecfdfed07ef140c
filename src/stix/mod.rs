//! STIX 2.1: objects, deterministic ids, patterns, bundle.
//!
//! Knows nothing of HarfangLab and imports nothing of ours.

pub mod canonical;
pub mod clean;
pub mod id;
pub mod object;
pub mod observable_id;
pub mod pattern;
pub mod time;
pub mod valid;

mod bundle;

pub use self::{
    bundle::{Bundle, BundleBuilder, references},
    object::{Object, Provenance},
    pattern::Pattern,
};
