//! TLS in one place: PEM files (`pem`), which certificates are trusted (`trust`), the configuration of our
//! listeners (`listener`), and advice on failed connections (`advice`).
//!
//! Does not live here: connections themselves (`outbound`, `opencti`, `journal`, `connections`).

mod advice;
mod listener;
mod pem;
mod self_signed;
mod trust;

pub(crate) use self::{
    advice::{Peer, Remedies, failure_in, remedy},
    listener::{ListenerFiles, SYSLOG, TlsVariables, WEBHOOK, server_config},
    pem::{Passphrase, Pem},
    trust::{ServerCheck, Trusted, any_server},
};
pub use self::{listener::ListenerTlsError, pem::PemError};
