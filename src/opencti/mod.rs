//! OpenCTI: GraphQL, registration, heartbeat, works, splitter and the sinks that take bundles.
//!
//! Together: [`OpenCti`] speaks GraphQL; [`Connector`] is our registration there, made
//! when first needed and shared by the [`QueueSink`], the [`ApiSink`], the
//! [`DirectorySink`], the [`S3Sink`] and the [`Heartbeat`].
//!
//! Does not live here: deciding what to send and when to try again (`pipeline`).

mod api;
mod api_load;
mod backpressure;
mod broker;
mod broker_tls;
mod client;
mod confirmed;
mod directory;
mod draft;
mod error;
mod graphql;
mod heartbeat;
mod hidden;
mod load;
mod message;
mod operations;
mod platform;
mod publish;
mod queue;
mod registration;
mod s3;
mod s3_bucket;
mod service_account;
mod sighting;
mod sink;
mod splitter;
mod stix_types;
mod transfer;
mod work;
mod work_errors;
mod worker_words;
mod workflow;
mod works;

pub use self::{
    api::{ApiSink, DEFAULT_MAX_BODY_BYTES},
    backpressure::{Backpressure, QueueLoad},
    broker::{BrokerError, probe},
    broker_tls::BrokerTlsError,
    client::OpenCti,
    confirmed::ConfirmedObjects,
    directory::DirectorySink,
    draft::DraftId,
    error::OpenCtiError,
    heartbeat::{HEARTBEAT_INTERVAL, Heartbeat, HeartbeatEvent, Pulse},
    operations::{ADMINISTRATION, OPERATIONS, Operation},
    platform::{Feature, Features, NotAVersion, Version},
    queue::{DEFAULT_MAX_MESSAGE_BYTES, QueueSink},
    registration::{BrokerConnection, Connector, Registration, S3Connection},
    s3::S3Sink,
    s3_bucket::{S3Bucket, S3Error},
    service_account::{AccountStanding, ServiceAccount},
    sighting::{Negative, ShownSighting},
    sink::{Delivery, DeliveryError, LeaseCheck, Sink},
    splitter::{Piece, Split, SplitError, split},
    work::{CONTINUED, WorkId, WorkOutcome},
    work_errors::{WorkError, WorkReport, may_be_taken_later},
    workflow::{ResolvedWorkflow, WorkflowStatus, resolve_workflow},
    works::FIRST_LOOK_AFTER,
};
