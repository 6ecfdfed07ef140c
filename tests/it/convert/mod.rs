//! Tests of alerts and threats becoming STIX: what the mapping promises, and what the Python connector
//! gets wrong.

mod arbitrary;
mod attack;
mod bundles;
mod details;
mod fixtures;
mod gate;
mod iocs;
mod mapping;
mod mapping_page;
mod markdown;
mod peer_defects;
mod rule_texts;
mod rules;
mod threat;
