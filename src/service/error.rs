//! The reasons for which the service could not start, or ended with work undone, in words for its operator.

use std::net::SocketAddr;

use super::ServicePart;
use crate::{
    harfanglab::ConsoleError, intake::verification::UnusableSecret, journal::JournalError,
    opencti::OpenCtiError, ops::MetricsError, tls::ListenerTlsError,
};

/// The reason for which the service could not start, or ended with work undone.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// An address cannot be bound.
    #[error(
        "{variable}: cannot listen on {address}: {error}; give a free address of this machine, or \
         end whoever listens there"
    )]
    Listen {
        /// The variable that sets the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: std::io::Error,
    },
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
    /// There is nothing that could prove a message of syslog.
    #[error(
        "HARFANGLAB_INCIDENTS_SYSLOG_LISTEN would let anybody in: set \
         HARFANGLAB_INCIDENTS_SYSLOG_TOKEN, …_SYSLOG_TLS_CLIENT_CA or …_SYSLOG_ALLOWED_NETWORKS"
    )]
    SyslogForAnybody,
    /// Nobody could tell whose a message of syslog is.
    #[error(
        "HARFANGLAB_INCIDENTS_SYSLOG_LISTEN is for one console: with several no message says whose it \
         is; leave it out, or give the console that speaks syslog a service of its own"
    )]
    SyslogOfSeveral,
    /// The endpoint's own TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] ListenerTlsError),
    /// Signals cannot be waited for.
    #[error("cannot wait for SIGHUP: {0}")]
    Signal(std::io::Error),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The console's client cannot be built.
    #[error("the client for HarfangLab cannot be built: {0}")]
    Console(#[from] ConsoleError),
    /// OpenCTI's client cannot be built, or OpenCTI refuses us for good.
    #[error("OpenCTI: {0}")]
    OpenCti(#[from] OpenCtiError),
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Another replica sweeps.
    #[error(
        "another replica on this journal leads and does the sweeps; a single run is for a journal \
         that no service uses at the time: stop the replicas first, or ask the one that leads (/readyz \
         of each says whether it does)"
    )]
    AnotherLeads,
    /// There is no sink.
    #[error(
        "nothing would be delivered anywhere: set CONNECTOR_SEND_TO_QUEUE=true, \
         CONNECTOR_SEND_TO_DIRECTORY=true or CONNECTOR_SEND_TO_S3=true"
    )]
    NowhereToDeliver,
    /// A single run of several consoles failed for these, by their names.
    #[error("{}", of_consoles(.0))]
    Consoles(Vec<(String, ServiceError)>),
    /// The one sweep of a single run failed.
    #[error("the sweep did not finish: {0}; what it found is in the journal and was delivered")]
    Sweep(String),
    /// A part that runs as long as the service has ended by itself.
    #[error(
        "the {0} has ended by a defect, and the service with it; what was accepted is in the journal \
         and goes on with the next start"
    )]
    PartEnded(ServicePart),
    /// A single run made no progress.
    #[error(
        "{0} notifications wait in the journal and cannot be delivered; the log says why, and the \
         next run tries again"
    )]
    Undelivered(u64),
    /// A single run left dead letters.
    #[error(
        "{0} notifications ended as dead letters; the journal keeps them with the reason: \
         `harfanglab-incidents dead-letters list`"
    )]
    DeadLetters(u64),
}

fn of_consoles(failed: &[(String, ServiceError)]) -> String {
    let failed = failed.iter().map(|(console, failure)| format!("{console}: {failure}"));
    failed.collect::<Vec<_>>().join("; ")
}
