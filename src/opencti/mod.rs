//! OpenCTI: GraphQL, registration, heartbeat, works, splitter and the sinks that take bundles.
//!
//! How it fits together: [`OpenCti`] speaks GraphQL; [`Connector`] is our registration there, made
//! when first needed and shared by the [`QueueSink`], the [`DirectorySink`] and the [`Heartbeat`].
//!
//! Does not live here: deciding what to send and when to try again (`pipeline`).

mod backpressure;
mod broker;
mod broker_tls;
mod client;
mod confirmed;
mod directory;
mod error;
mod heartbeat;
mod ledger;
mod load;
mod message;
mod operations;
mod platform;
mod queue;
mod registration;
mod sighting;
mod sink;
mod splitter;
mod stix_types;
mod work;
mod work_errors;
mod workflow;

pub use self::{
    backpressure::{Backpressure, QueueLoad},
    broker::{BrokerError, probe},
    broker_tls::BrokerTlsError,
    client::OpenCti,
    confirmed::ConfirmedObjects,
    directory::DirectorySink,
    error::OpenCtiError,
    heartbeat::{HEARTBEAT_INTERVAL, Heartbeat, HeartbeatEvent, Pulse},
    ledger::{Cargo, WorkLedger},
    operations::{OPERATIONS, Operation},
    platform::{Feature, Features, NotAVersion, Version},
    queue::{DEFAULT_MAX_MESSAGE_BYTES, QueueSink},
    registration::{BrokerConnection, Connector, Registration},
    sighting::{Negative, ShownSighting},
    sink::{Delivery, DeliveryError, Sink},
    splitter::{Dangling, Piece, Split, SplitError, split},
    work::{CONTINUED, WorkId, WorkOutcome},
    work_errors::{WorkError, WorkReport},
    workflow::{ResolvedWorkflow, WorkflowStatus, resolve_workflow},
};
