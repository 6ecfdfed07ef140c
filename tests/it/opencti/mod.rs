//! Tests of the ways to OpenCTI: GraphQL, the broker, sinks, and what the platform makes of objects.

mod backpressure;
mod broker;
mod broker_faults;
pub(crate) mod broker_tls;
mod custom_fields;
mod graphql_documents;
mod imported_objects;
mod known_objects;
mod outages;
mod platform;
mod public_consumer;
pub(crate) mod sinks;
mod splitter;
mod triaged_estate;
