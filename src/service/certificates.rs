//! The certificate, key and authorities of a listener, read again when their files change and at SIGHUP.
//! Files that cannot be used leave those before in force. Connections that are open keep what they began
//! with.
//!
//! Does not live here: when the files are read (`renewed`), what they must hold (`tls`).

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use super::{
    ServiceError,
    renewed::{Cause, Watched, follow},
};
use crate::{
    config::EndpointTls,
    tls::{self, ListenerFiles, ListenerTlsError, TlsVariables},
};

/// TLS as a listener's files ask for it now, and the task that keeps it current.
type Current = (Arc<ArcSwap<ServerConfig>>, AbortOnDropHandle<()>);

/// Reads the files of `settings` and keeps what is returned at what they hold.
///
/// # Errors
/// Fails when the files cannot be used.
pub(super) fn open(
    settings: &EndpointTls,
    variables: TlsVariables,
) -> Result<Current, ServiceError> {
    let files = ListenerFiles::read(settings, variables).map_err(ListenerTlsError::from)?;
    let config = Arc::new(ArcSwap::from_pointee(tls::server_config(&files)?));
    let hang_up = signal(SignalKind::hangup()).map_err(ServiceError::Signal)?;
    let kept = Arc::clone(&config);
    let watching = watch(settings.clone(), variables, files.fingerprint(), kept, hang_up);
    Ok((config, AbortOnDropHandle::new(tokio::spawn(watching))))
}

async fn watch(
    settings: EndpointTls,
    variables: TlsVariables,
    mut known: [u8; 32],
    config: Arc<ArcSwap<ServerConfig>>,
    hang_up: Signal,
) {
    let variable = variables.certificate();
    let others: Vec<PathBuf> =
        [&settings.certificate].into_iter().chain(&settings.client_authorities).cloned().collect();
    let files = Watched { secret: Some(settings.key.clone()), others };
    let read = move || ListenerFiles::read(&settings, variables).map_err(|fault| fault.to_string());
    let take = |files: ListenerFiles, cause: Cause| {
        let fingerprint = files.fingerprint();
        let cause_name = cause.name();
        if fingerprint != known {
            config.store(Arc::new(tls::server_config(&files).map_err(|fault| fault.to_string())?));
            known = fingerprint;
            info!(cause = cause_name, "the certificate of {variable} was replaced");
        } else if cause == Cause::Signal {
            info!(cause = cause_name, "the certificate of {variable} is the same as before");
        }
        Ok(())
    };
    let complain = |fault: &str, cause: Cause| {
        let cause = cause.name();
        error!(
            cause,
            %fault, "the certificate of {variable} was not replaced; the one before stays in use"
        );
    };
    follow(files, hang_up, read, take, complain).await;
}
