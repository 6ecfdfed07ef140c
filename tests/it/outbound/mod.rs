//! Tests of outgoing connections.

pub(crate) mod proxies_and_authorities;
