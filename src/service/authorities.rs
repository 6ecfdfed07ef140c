//! The authorities of HarfangLab's and OpenCTI's servers, read again when their file changes and at SIGHUP.
//! A file that cannot be used leaves those before trusted. Connections that are open keep what they began
//! with.
//!
//! Does not live here: when the file is read (`renewed`), clients that trust it (`outbound`).

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::renewed::{Cause, Watched, follow};
use crate::outbound::{AuthorityFile, Renewed, ServerTrust};

/// Keeps `trust`, that of the client for `party`, at what its file holds, until `stop`; authorities that
/// come from no file need nothing.
///
/// # Errors
/// Fails when the system does not let us wait for SIGHUP.
pub(super) fn keep_current(
    party: &'static str,
    trust: &ServerTrust,
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = ()> + use<>> {
    let file = trust.file();
    let hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        if let Some(file) = file {
            stop.run_until_cancelled(watch(party, file, hang_up)).await;
        }
    })
}

async fn watch(party: &'static str, mut file: AuthorityFile, hang_up: Signal) {
    let path = file.path().to_owned();
    let files = Watched { secret: None, others: vec![path.clone()] };
    let read = move || AuthorityFile::read(&path).map_err(|fault| fault.to_string());
    let take = |pem, cause: Cause| {
        let renewed = file.renew(&pem).map_err(|fault| fault.to_string())?;
        let cause_name = cause.name();
        match renewed {
            Renewed::Replaced => {
                info!(cause = cause_name, "the authorities of {party} were replaced");
            }
            Renewed::Unchanged if cause == Cause::Signal => {
                info!(cause = cause_name, "the authorities of {party} are the same as before");
            }
            Renewed::Unchanged => {}
        }
        Ok(())
    };
    let complain = |fault: &str, cause: Cause| {
        let cause = cause.name();
        error!(
            cause,
            %fault, "the authorities of {party} were not replaced; those before stay trusted"
        );
    };
    follow(files, hang_up, read, take, complain).await;
}
