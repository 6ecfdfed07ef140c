//! Tests of what HarfangLab says becoming an alert: fixtures, odd types, keys.

mod context;
mod evidence;
mod fixtures;
mod keys;
mod odd_types;
mod public_samples;
mod used_fields;
